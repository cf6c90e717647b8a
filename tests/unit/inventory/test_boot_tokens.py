"""The abuse cases of a boot token: what a rogue host on the provisioning network may try."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from rackwright.inventory import audit, boot_tokens, machines
from rackwright.inventory.boot_tokens import Accepted, Contact, Minted, Refused
from rackwright.inventory.errors import ConflictError
from rackwright.inventory.tables import BOOT_TOKEN
from tests.unit.inventory.conftest import NOW, Store

MAC, OTHER_MAC = "52:54:00:77:01:02", "52:54:00:77:02:01"
UUID = "4c4c4544-0042-3510-8052-b4c04f4e3232"
HONEST = Contact(
    address="10.77.0.101",
    host_key="ssh-ed25519 AAAAhonest",
    macs=("52:54:00:77:01:01", MAC),
    uuid=UUID,
    serial="To be filled by O.E.M.",
    boot_id="b1",
    firmware="uefi",
)
ROGUE = replace(HONEST, address="10.77.0.66", host_key="ssh-ed25519 AAAArogue")
Rack = tuple[Store, dict[str, str]]


def arm(store: Store, machine_id: str, run: str = "r-1", at: float = NOW) -> None:
    store.write(
        lambda c: boot_tokens.arm(c, machine_id, run_id=run, stage="netboot", ttl_s=600, now=at)
    )


def mint(store: Store, mac: str = MAC, at: float = NOW) -> Minted | None:
    return store.write(lambda c: boot_tokens.mint(c, mac, address="10.77.0.101", now=at))


def token(store: Store, mac: str = MAC) -> str:
    minted = mint(store, mac)
    assert minted is not None
    return minted.token


def spend(
    store: Store, text: str, contact: Contact = HONEST, at: float = NOW
) -> Accepted | Refused:
    return store.write(lambda c: boot_tokens.spend(c, text, contact, now=at))


def state(store: Store, machine_id: str) -> str:
    return store.read(lambda c: machines.get(c, machine_id)).state


def actions(store: Store) -> list[str]:
    return [row["action"] for row in store.read(lambda c: audit.page(c))]


def is_refused(decided: Accepted | Refused, reason: str) -> bool:
    return isinstance(decided, Refused) and decided.kind == "token" and reason in decided.reason


def test_an_unknown_mac_gets_nothing_and_is_audited_without_a_row(rack: Rack) -> None:
    store, _ = rack
    before = store.read(lambda c: len(machines.page(c)))
    for mac in ("52:54:00:99:99:99", "nonsense", "../../etc/passwd"):
        assert mint(store, mac) is None
    assert store.read(lambda c: len(machines.page(c))) == before
    assert actions(store).count("boot.unknown") == 3


def test_a_known_mac_that_is_not_armed_gets_no_token(rack: Rack) -> None:
    store, ids = rack
    assert mint(store) is None
    arm(store, ids["n2"])
    assert mint(store) is None
    arm(store, ids["n1"])
    assert mint(store, at=NOW + 600) is None
    assert mint(store, at=NOW + 599) is not None


def test_the_armed_machine_gets_in_by_any_spelling_of_its_mac(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    decided = spend(store, token(store, "52-54-00-77-01-02"))
    assert decided == Accepted(ids["n1"], "n1", "r-1", "netboot", is_repeat=False)
    contact = store.read(lambda c: machines.contact(c, ids["n1"]))
    assert contact is not None
    assert (contact.address, contact.boot_id, contact.run_id) == ("10.77.0.101", "b1", "r-1")


def test_a_repeat_gets_the_same_answer_and_makes_one_transition(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    first = spend(store, text)
    again = [spend(store, text) for _ in range(100)]
    assert isinstance(first, Accepted)
    assert set(again) == {replace(first, is_repeat=True)}
    assert actions(store).count("boot.contact") == 1


def test_a_token_of_one_run_is_refused_in_the_next(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"], "r-1")
    old = token(store)
    arm(store, ids["n1"], "r-2")
    assert is_refused(spend(store, old), "window is closed")


def test_an_expired_token_is_refused_and_changes_nothing(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    assert is_refused(spend(store, text, at=NOW + 600), "expired")
    assert store.read(lambda c: machines.contact(c, ids["n1"])) is None
    assert state(store, ids["n1"]) == "enrolled"


def test_a_token_is_of_no_use_to_another_machine(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    other = replace(HONEST, macs=(OTHER_MAC,), uuid="", serial="RW-N2")
    assert is_refused(spend(store, text, other), "none of the posted MACs")
    both = replace(HONEST, macs=(MAC, OTHER_MAC))
    assert is_refused(spend(store, text, both), "enrolled for another machine")
    assert isinstance(spend(store, text), Accepted)


@pytest.mark.parametrize("text", ["", "A" * 43, "' OR 1=1 --", "\u2028"])
def test_without_the_token_an_address_proves_nothing(rack: Rack, text: str) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    token(store)
    assert is_refused(spend(store, text), "unknown token")


def test_a_refetch_supersedes_the_earlier_token(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    old, new = token(store), token(store)
    assert is_refused(spend(store, old), "superseded")
    assert isinstance(spend(store, new), Accepted)


def test_a_second_host_key_quarantines_the_machine(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    assert isinstance(spend(store, text), Accepted)
    decided = spend(store, text, ROGUE)
    assert isinstance(decided, Refused)
    assert decided.kind == "host_key"
    assert state(store, ids["n1"]) == "quarantined"
    assert isinstance(spend(store, text), Refused)
    with pytest.raises(ConflictError, match="quarantined"):
        arm(store, ids["n1"], "r-2")


def test_a_rogue_that_was_first_is_found_out_when_the_machine_itself_posts(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    honest, stolen = token(store), token(store)
    assert isinstance(spend(store, stolen, ROGUE), Accepted)
    decided = spend(store, honest)
    assert isinstance(decided, Refused)
    assert decided.kind == "host_key"
    assert state(store, ids["n1"]) == "quarantined"


def test_evidence_disarms(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    armed = store.read(lambda c: boot_tokens.armed_macs(c, NOW))
    assert armed == [("52:54:00:77:01:01", ids["n1"]), (MAC, ids["n1"])]
    store.write(lambda c: boot_tokens.disarm(c, ids["n1"], now=NOW))
    store.write(lambda c: boot_tokens.disarm(c, ids["n1"], now=NOW))
    assert mint(store) is None
    assert is_refused(spend(store, text), "closed")
    assert store.read(lambda c: boot_tokens.armed_macs(c, NOW)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uuid": "11111111-2222-3333-4444-555555555555"}, "not the enrolled one"),
        ({"uuid": "garbage"}, "malformed"),
        ({"uuid": ""}, ""),
        ({"uuid": "00000000-0000-0000-0000-000000000000"}, ""),
        ({"uuid": "44454c4c-4200-1035-8052-b4c04f4e3232"}, ""),  # the other byte order
        ({"serial": "RW-N2"}, "enrolled for another machine"),
        ({"serial": "whatever"}, ""),
        ({"macs": ()}, "none of the posted MACs"),
        ({"macs": ("garbage", MAC)}, ""),
        ({"host_key": ""}, "no usable host key"),
        ({"host_key": "x" * 5000}, "no usable host key"),
    ],
)
def test_the_posted_identity_must_be_the_enrolled_one(
    rack: Rack, change: dict[str, str], reason: str
) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    decided = spend(store, token(store), replace(HONEST, **change))
    assert is_refused(decided, reason) if reason else isinstance(decided, Accepted)


def test_an_enrolled_serial_must_match(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n2"])
    contact = replace(HONEST, macs=(OTHER_MAC,), uuid="", serial="RW-N3")
    assert is_refused(spend(store, token(store, OTHER_MAC), contact), "not the enrolled one")


def test_the_token_itself_is_stored_nowhere(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    minted = mint(store)
    assert minted is not None
    assert len(minted.token) >= 43  # 256 bits
    assert minted.token not in repr(minted)
    spend(store, minted.token)
    stored = store.read(lambda c: c.execute(select(BOOT_TOKEN)).all())
    assert minted.token not in repr(stored)
    for path in store.directory.glob("rackwright.db*"):
        assert minted.token.encode() not in path.read_bytes()


def test_a_quarantined_machine_is_in_the_audit_with_its_reason(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    text = token(store)
    spend(store, text)
    spend(store, text, ROGUE)
    rows = store.read(lambda c: audit.page(c, subject=ids["n1"]))
    assert rows[0]["action"] == "boot.refused"
    assert rows[1]["action"] == "machine.quarantine"
    assert "10.77.0.66" in rows[1]["detail"]["reason"]
