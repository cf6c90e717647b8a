import stat
from pathlib import Path

import pytest

from rackwright.inventory import audit, credentials
from rackwright.inventory.errors import NotFoundError, SecretKeyError
from rackwright.inventory.secrets import SecretBox
from tests.unit.inventory.conftest import NOW, RACK, Store

CANARY = "canary-3f9a-Zq"


def test_a_password_stands_in_no_file_of_the_database(store: Store) -> None:
    store.enrol(RACK.replace("hunter2", CANARY))
    n1 = store.read(lambda c: credentials.get(c, store.box, machine(store, "n1")))
    assert n1.password == CANARY
    assert CANARY not in repr(n1)
    store.write(
        lambda c: credentials.put(
            c, store.box, machine(store, "n1"), username="u", password=CANARY, actor="t", now=NOW
        )
    )
    files = [path for path in store.directory.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in repr(store.read(lambda c: audit.page(c)))
    assert CANARY not in repr(store.enrol(RACK.replace("hunter2", CANARY)))


def machine(store: Store, name: str) -> str:
    from rackwright.inventory import machines

    return store.read(lambda c: machines.id_of(c, name))


def test_the_key_file_is_its_owners_alone(store: Store) -> None:
    key = store.directory / "keys" / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    key.chmod(0o640)
    with pytest.raises(SecretKeyError, match="0640"):
        SecretBox(key)


@pytest.mark.parametrize("content", [b"", b"nonsense\n"])
def test_a_damaged_key_file_is_refused_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "secret.key"
    key.write_bytes(content)
    key.chmod(0o600)
    with pytest.raises(SecretKeyError):
        SecretBox(key)
    assert key.read_bytes() == content


def test_rotation_puts_everything_under_the_new_key(store: Store) -> None:
    key = store.directory / "keys" / "secret.key"
    store.write(lambda c: store.box.put(c, "x", {"password": CANARY}, NOW))
    old = key.read_bytes()
    assert store.write(lambda c: store.box.rotate(c, NOW)) == 1
    assert key.read_bytes().endswith(old)
    store.write(lambda c: store.box.drop_old_keys(c))
    assert old not in key.read_bytes()
    fresh = SecretBox(key)
    assert store.read(lambda c: fresh.get(c, "x")) == {"password": CANARY}


def test_another_key_opens_nothing_and_says_so(store: Store, tmp_path: Path) -> None:
    store.write(lambda c: store.box.put(c, "x", {"password": CANARY}, NOW))
    other = SecretBox(tmp_path / "other.key")
    with pytest.raises(SecretKeyError, match="does not open"):
        store.read(lambda c: other.get(c, "x"))


def test_deleted_secrets_are_gone(store: Store) -> None:
    store.write(lambda c: store.box.put(c, "x", {"a": "b"}, NOW))
    store.write(lambda c: store.box.delete(c, "x"))
    with pytest.raises(NotFoundError):
        store.read(lambda c: store.box.get(c, "x"))
