"""Stored plans: documents come back as they were given, also those of older versions."""

from sqlalchemy import insert, select

from rackwright.inventory import plans
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.tables import PLAN
from tests.unit.inventory.conftest import NOW, Store

DOCUMENT = b'{"machines":[' + b",".join(b'{"id":"m-%d"}' % n for n in range(500)) + b"]}"
RECORD = PlanRecord("d" * 64, "cluster", "swarm", "demo", "f", DOCUMENT, NOW)


def test_a_document_is_stored_small_and_read_as_it_was(store: Store) -> None:
    store.write(lambda c: plans.put(c, RECORD))
    assert store.read(lambda c: plans.get(c, "d" * 8)) == RECORD
    stored = store.read(lambda c: c.scalar(select(PLAN.c.document)))
    assert len(stored or b"") < len(DOCUMENT) / 3


def test_a_document_that_an_older_version_stored_is_read(store: Store) -> None:
    fields = {name: getattr(RECORD, name) for name in PlanRecord.__dataclass_fields__}
    store.write(lambda c: c.execute(insert(PLAN), fields))
    assert store.read(lambda c: plans.get(c, RECORD.digest)) == RECORD


def test_the_list_of_plans_reads_no_documents(store: Store) -> None:
    store.write(lambda c: plans.put(c, RECORD))
    assert [(p.digest, p.document) for p in store.read(plans.newest)] == [(RECORD.digest, b"")]


def test_the_same_digest_is_the_same_plan(store: Store) -> None:
    store.write(lambda c: plans.put(c, RECORD))
    store.write(lambda c: plans.put(c, RECORD))
    assert len(store.read(plans.newest)) == 1
