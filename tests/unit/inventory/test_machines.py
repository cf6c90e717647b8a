from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, insert, select

from rackwright.inventory import audit, boot_tokens, clusters, machines
from rackwright.inventory.errors import (
    AmbiguousError,
    ConflictError,
    NotFoundError,
    TransitionError,
)
from rackwright.inventory.lifecycle import State
from rackwright.inventory.tables import MACHINE, SECRET, metadata
from tests.unit.inventory.conftest import NOW, Store
from tests.unit.inventory.test_boot_tokens import arm, spend, token

Rack = tuple[Store, dict[str, str]]


def set_state(store: Store, machine_id: str, state: State, actor: str = "ada") -> None:
    store.write(
        lambda c: machines.set_state(c, machine_id, state, actor=actor, reason="why", now=NOW)
    )


def count(store: Store, table: Table) -> int:
    return store.read(lambda c: c.scalar(select(func.count()).select_from(table))) or 0


def fill(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(MACHINE), rows)


def test_a_machine_is_found_by_name_and_by_id(rack: Rack) -> None:
    store, ids = rack
    for reference in ("n1", ids["n1"]):
        with store.database.read() as connection:
            assert machines.get(connection, reference).id == ids["n1"]


def test_an_unknown_name_gets_a_near_match(rack: Rack) -> None:
    store, _ = rack
    with pytest.raises(NotFoundError) as caught:
        store.read(lambda c: machines.get(c, "borowed"))
    assert caught.value.hint == "did you mean borrowed?"


def test_a_name_that_is_anothers_id_is_ambiguous(rack: Rack) -> None:
    store, ids = rack
    store.enrol(f'machines:\n- {{name: {ids["n1"]}, nics: [{{mac: "52:54:00:00:00:09"}}]}}')
    with pytest.raises(AmbiguousError):
        store.read(lambda c: machines.get(c, ids["n1"]))


def test_pages_follow_each_other_without_gap_or_overlap(store: Store) -> None:
    text = "machines:\n" + "".join(
        f'- {{name: m{n:03}, nics: [{{mac: "52:54:00:00:01:{n:02x}"}}]}}\n' for n in range(25)
    )
    store.enrol(text)
    seen: list[str] = []
    while True:
        after = seen[-1] if seen else ""
        with store.database.read() as connection:
            page = machines.page(connection, after=after, limit=10)
        if not page:
            break
        seen += [view.name for view in page]
    assert seen == [f"m{n:03}" for n in range(25)]


def test_pages_are_filtered_by_state_and_selector(rack: Rack) -> None:
    store, _ = rack
    found = store.read(lambda c: machines.page(c, selector="role=worker", states=["enrolled"]))
    assert [view.name for view in found] == ["n2"]
    assert store.read(machines.count_by_state) == {"available": 1, "enrolled": 2}


def test_a_change_of_state_is_audited_with_its_reason(rack: Rack) -> None:
    store, ids = rack
    set_state(store, ids["n1"], State.MAINTENANCE)
    set_state(store, ids["n1"], State.MAINTENANCE)
    rows = store.read(lambda c: audit.page(c, subject=ids["n1"]))
    assert [row["action"] for row in rows] == ["machine.maintain", "machine.enrol"]
    assert rows[0]["actor"] == "ada"
    assert rows[0]["detail"] == {"from": "enrolled", "to": "maintenance", "reason": "why"}


def test_the_engine_may_not_do_what_is_an_operators(rack: Rack) -> None:
    store, ids = rack
    with pytest.raises(TransitionError, match="only an operator"):
        set_state(store, ids["n1"], State.MAINTENANCE, machines.ENGINE)


def test_only_a_discovered_machine_is_released(rack: Rack) -> None:
    store, ids = rack
    with pytest.raises(ConflictError, match="is enrolled, not discovered"):
        store.write(lambda c: machines.release(c, ids["n1"], actor="ada", now=NOW))


@pytest.mark.parametrize(("key", "value"), [("name", "x"), ("a b", "x"), ("a", "x y"), ("a", "-")])
def test_a_label_that_no_selector_could_name_is_refused(rack: Rack, key: str, value: str) -> None:
    store, ids = rack
    with pytest.raises(ConflictError):
        store.write(lambda c: machines.set_label(c, ids["n1"], key, value, actor="a", now=NOW))


def test_only_a_retired_machine_is_forgotten(rack: Rack) -> None:
    store, ids = rack
    with pytest.raises(ConflictError, match="is enrolled"):
        store.write(lambda c: machines.forget(c, ids["n1"], actor="ada", now=NOW))


def test_nothing_is_left_of_a_forgotten_machine_but_the_audit(rack: Rack) -> None:
    store, ids = rack
    arm(store, ids["n1"])
    assert isinstance(spend(store, token(store)), boot_tokens.Accepted)
    store.write(lambda c: clusters.put(c, "demo", workflow="swarm", spec={}, now=NOW))
    store.write(lambda c: clusters.join(c, "demo", ids["n1"], pool="p", now=NOW))
    before = count(store, SECRET)
    set_state(store, ids["n1"], State.RETIRED)
    store.write(lambda c: machines.forget(c, ids["n1"], actor="ada", now=NOW))
    with store.database.read() as connection:
        holding = [
            table.name
            for table in metadata.tables.values()
            if ids["n1"] in repr(connection.execute(select(table)).all())
        ]
    assert sorted(holding) == ["audit", "journal"]
    assert count(store, SECRET) == before - 1


def test_a_retired_machine_may_be_enrolled_again(rack: Rack) -> None:
    store, ids = rack
    set_state(store, ids["n1"], State.RETIRED)
    store.enrol()
    assert store.read(lambda c: machines.get(c, "n1")).state == "enrolled"


def test_a_view_compares_equal_when_nothing_changed(rack: Rack) -> None:
    store, _ = rack
    one, two = (store.read(lambda c: machines.get(c, "n1")) for _ in range(2))
    assert one == two
    assert replace(one, name="x") != two


def test_a_page_is_found_among_ten_thousand_machines(rack: Rack) -> None:
    store, _ = rack
    with store.database.read() as connection:
        row = dict(connection.execute(select(MACHINE).limit(1)).mappings().one())
    row |= {"uuid": None, "serial": None}
    rows = [{**row, "id": f"m-{n:012x}", "name": f"x{n:05}"} for n in range(10_000)]
    store.write(lambda c: fill(c, rows))
    page = store.read(lambda c: machines.page(c, selector="!role", after="x05000", limit=100))
    assert [page[0].name, page[-1].name, len(page)] == ["x05001", "x05100", 100]
