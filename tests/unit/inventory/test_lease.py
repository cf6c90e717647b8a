import os
import subprocess
import sys
from pathlib import Path

import pytest

from rackwright.inventory.database import open_database
from rackwright.inventory.errors import OwnedElsewhereError
from rackwright.inventory.lease import LEASE_S, Lease, this_process
from tests.unit.inventory.conftest import NOW


class Hands:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_an_owner_acts_for_two_thirds_of_its_lease_from_before_the_commit() -> None:
    clock = Hands()
    lease = Lease(lease_s=15.0, clock=clock)
    clock.at += 9.9
    assert lease.may_act()
    lease.renewing()
    clock.at += 5.0  # the commit takes long
    assert not lease.may_act()
    lease.renewed()
    assert lease.may_act()
    clock.at += 5.0
    assert not lease.may_act()


def test_a_commit_that_failed_renews_nothing() -> None:
    clock = Hands()
    lease = Lease(lease_s=15.0, clock=clock)
    clock.at += 12.0
    lease.renewing()
    lease.not_renewed()
    lease.renewed()
    assert not lease.may_act()
    assert lease.is_due()


def test_nobody_takes_over_before_the_lease_has_run_out(tmp_path: Path) -> None:
    first = open_database(tmp_path, now=NOW, clock=lambda: NOW)
    with pytest.raises(OwnedElsewhereError) as caught:
        open_database(tmp_path, now=NOW + LEASE_S - 1)
    assert caught.value.pid == os.getpid()
    second = open_database(tmp_path, now=NOW + LEASE_S, clock=lambda: NOW + LEASE_S)
    assert second.epoch == first.epoch + 1
    second.close()
    first.close()


def test_who_leaves_in_order_keeps_nobody_waiting(tmp_path: Path) -> None:
    open_database(tmp_path, now=NOW, clock=lambda: NOW).close()
    open_database(tmp_path, now=NOW, clock=lambda: NOW).close()


CHILD = """
import os, sys
from pathlib import Path
from rackwright.inventory.database import open_database
open_database(Path(sys.argv[1]), now=float(sys.argv[2]))
os._exit(0)
"""


def test_a_dead_process_keeps_nobody_waiting(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(NOW)], check=True)
    database = open_database(tmp_path, now=NOW + 1)
    assert database.epoch == 2
    database.close()


def test_a_takeover_tells_until_when_the_earlier_owner_may_have_acted(tmp_path: Path) -> None:
    first = open_database(tmp_path, now=NOW, clock=lambda: NOW)
    assert first.others_until is None  # there was none
    late = NOW + LEASE_S + 5
    second = open_database(tmp_path, now=late, clock=lambda: late)
    assert second.others_until == late + LEASE_S  # it lives: it may be in the middle of sending
    second.close()
    third = open_database(tmp_path, now=late, clock=lambda: late)
    assert third.others_until is None  # it left in order
    third.close()
    first.close()


@pytest.mark.parametrize(("after_s", "until_s"), [(1.0, 1.0), (3600.0, LEASE_S)])
def test_what_is_dead_acts_no_more(tmp_path: Path, after_s: float, until_s: float) -> None:
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(NOW)], check=True)
    database = open_database(tmp_path, now=NOW + after_s)
    assert database.others_until == pytest.approx(NOW + until_s, abs=0.01)
    database.close()


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    me = this_process(os.getpid())
    assert not me.is_dead()
    assert type(me)(me.pid, me.boot_id, "1").is_dead()
    assert not type(me)(me.pid, "another boot", "1").is_dead()
