import pytest

from rackwright.inventory import audit
from rackwright.inventory.errors import InventoryError
from tests.unit.inventory.conftest import NOW, Store


def record(store: Store, **detail: object) -> None:
    store.write(
        lambda c: audit.record(c, actor="ada", action="x", subject="s", now=NOW, detail=detail)
    )


def test_secret_values_are_masked_wherever_they_stand(store: Store) -> None:
    record(store, Password="p1", bmc={"user_token": "p1", "list": [{"secret": ["p1"]}]}, ok="yes")
    row = store.read(lambda c: audit.page(c))[0]
    assert "p1" not in repr(row)
    assert row["detail"]["ok"] == "yes"


def test_long_texts_and_bytes_are_cut(store: Store) -> None:
    record(store, long="x" * 100_000, raw=b"abc")
    detail = store.read(lambda c: audit.page(c))[0]["detail"]
    assert len(detail["long"]) < 1100
    assert detail["raw"] == "<3 bytes>"


@pytest.mark.parametrize("sql", ["DELETE FROM audit", "UPDATE audit SET actor = 'eve'"])
def test_rows_can_neither_be_changed_nor_removed(store: Store, sql: str) -> None:
    record(store)
    with pytest.raises(InventoryError, match="append-only"):
        store.write(lambda c: c.exec_driver_sql(sql) and None)
    assert store.read(lambda c: audit.page(c))[0]["actor"] == "ada"


def test_pages_run_from_the_newest_back(store: Store) -> None:
    for n in range(5):
        record(store, n=n)
    first = store.read(lambda c: audit.page(c, limit=2))
    rest = store.read(lambda c: audit.page(c, limit=10, before=first[-1]["id"]))
    assert [row["detail"]["n"] for row in [*first, *rest]] == [4, 3, 2, 1, 0]


def test_a_change_that_fails_leaves_no_audit_row(store: Store) -> None:
    def fail(connection: object) -> None:
        audit.record(connection, actor="a", action="b", subject="c", now=NOW)  # type: ignore[arg-type]
        raise InventoryError("no")

    with pytest.raises(InventoryError):
        store.write(fail)
    assert store.read(lambda c: audit.page(c)) == []
