"""The facade's own work: waiting, refusing, bounding. What it passes on has its own tests."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.inventory.errors import (
    ConflictError,
    HostKeyConflictError,
    TokenRefusedError,
)
from rackwright.inventory.facade import Inventory
from tests.unit.inventory.conftest import NOW, RACK
from tests.unit.inventory.test_boot_tokens import HONEST, MAC, ROGUE


def with_rack(path: Path, body: Callable[[Inventory, str], Awaitable[None]]) -> None:
    async def run() -> None:
        inventory = Inventory.open(path, clock=lambda: NOW)
        try:
            await inventory.enrol(RACK, "rack.yaml", actor="tester")
            await body(inventory, inventory.machine("n1").id)
        finally:
            inventory.close()

    asyncio.run(run())


async def arm(inventory: Inventory, machine_id: str) -> str:
    await inventory.arm(machine_id, run_id="r-1", stage="netboot", ttl_s=600)
    minted = await inventory.mint(MAC, address="10.77.0.101")
    assert minted is not None
    return minted.token


def test_a_waiter_wakes_when_the_machine_posts(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        token = await arm(inventory, n1)
        waiting = asyncio.create_task(inventory.wait_for_contact(n1, "r-1"))
        await asyncio.sleep(0)
        await inventory.save_cluster("other", workflow="swarm", spec={})
        assert not waiting.done()
        await inventory.spend(token, HONEST)
        assert (await waiting).address == "10.77.0.101"
        assert (await inventory.wait_for_contact(n1, "r-1")).boot_id == "b1"

    with_rack(tmp_path, body)


@pytest.mark.parametrize("armed", [True, False])
def test_a_waiter_is_told_when_nobody_can_come_any_more(tmp_path: Path, armed: bool) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        if armed:
            await arm(inventory, n1)
        waiting = asyncio.create_task(inventory.wait_for_contact(n1, "r-1"))
        await asyncio.sleep(0)
        await inventory.disarm(n1)
        with pytest.raises(ConflictError, match="not armed"):
            await waiting

    with_rack(tmp_path, body)


def test_a_contact_of_an_earlier_window_is_not_taken_for_the_present_one(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        await inventory.spend(await arm(inventory, n1), HONEST)
        token = await arm(inventory, n1)
        waiting = asyncio.create_task(inventory.wait_for_contact(n1, "r-1"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await inventory.spend(token, replace(HONEST, boot_id="b2", host_key="ssh-ed25519 AAAAnew"))
        assert (await waiting).boot_id == "b2"

    with_rack(tmp_path, body)


def test_the_quarantine_is_committed_though_the_call_fails(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        token = await arm(inventory, n1)
        await inventory.spend(token, HONEST)
        with pytest.raises(HostKeyConflictError):
            await inventory.spend(token, ROGUE)
        assert inventory.machine(n1).state == "quarantined"
        with pytest.raises(ConflictError, match="quarantined"):
            await inventory.wait_for_contact(n1, "r-1")

    with_rack(tmp_path, body)


def test_strangers_cannot_fill_the_audit(tmp_path: Path) -> None:
    async def body(inventory: Inventory, _: str) -> None:
        for n in range(100):
            assert await inventory.mint(f"52:54:00:99:00:{n:02x}", address="10.77.0.66") is None
        for n in range(100):
            with pytest.raises(TokenRefusedError):
                await inventory.spend(f"guess-{n}", ROGUE)
        rows = inventory.audit(limit=1000)
        assert len([row for row in rows if row["actor"] == "boot"]) == 60

    with_rack(tmp_path, body)


def test_a_script_for_an_unarmed_machine_costs_no_write(tmp_path: Path) -> None:
    async def body(inventory: Inventory, _n1: str) -> None:
        before = inventory.audit(limit=1000), inventory.feed.last_seq
        for _ in range(20):
            assert await inventory.mint(MAC, address="10.77.0.101") is None
        assert (inventory.audit(limit=1000), inventory.feed.last_seq) == before

    with_rack(tmp_path, body)


def test_a_storm_of_fetches_keeps_few_tokens_and_the_last_one_works(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        first = await arm(inventory, n1)
        minted = [await inventory.mint(MAC, address="10.77.0.101") for _ in range(40)]
        with inventory.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM boot_token").scalar() == 16
        with pytest.raises(TokenRefusedError):
            await inventory.spend(first, HONEST)
        assert minted[-1] is not None
        assert (await inventory.spend(minted[-1].token, HONEST)).machine_id == n1

    with_rack(tmp_path, body)


def test_windows_are_forgotten_a_day_after_their_end(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        await arm(inventory, n1)
        later = Inventory(
            inventory._database, inventory._box, inventory._lock, lambda: NOW + 3 * 86_400
        )
        await later.arm(n1, run_id="r-2", stage="netboot", ttl_s=600)
        with inventory.read() as connection:
            runs = connection.exec_driver_sql("SELECT run_id FROM boot_window").scalars().all()
            tokens = connection.exec_driver_sql("SELECT count(*) FROM boot_token").scalar()
        assert (runs, tokens) == (["r-2"], 0)

    with_rack(tmp_path, body)


def test_a_state_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        with pytest.raises(ConflictError, match="'broken' is not a state"):
            await inventory.set_state(n1, "broken", actor="ada", reason="")

    with_rack(tmp_path, body)


def test_credentials_are_not_carried_to_a_new_address(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        text = RACK.replace("address: 10.77.1.11, username: admin, password: hunter2,",
                            "address: 10.66.6.6, username: admin,")  # fmt: skip
        assert text != RACK
        await inventory.enrol(text, "rack.yaml", actor="tester")
        found = inventory.credentials(n1)
        assert (found.address, found.username, found.password) == ("10.66.6.6", "", "")
        await inventory.set_credentials("n1", username="root", password="new", actor="ada")
        assert inventory.credentials(n1).password == "new"
        with inventory.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM bmc_endpoint").scalar() == 2

    with_rack(tmp_path, body)


def test_keys_left_out_of_a_bmc_keep_what_is_recorded(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        text = RACK.replace(", password: hunter2, cipher_suite: 3", "")
        report = await inventory.enrol(text, "rack.yaml", actor="tester")
        assert report.count("unchanged") == 3
        found = inventory.credentials(n1)
        assert (found.cipher_suite, found.password) == (3, "hunter2")

    with_rack(tmp_path, body)


def test_the_key_rotates_under_stored_credentials(tmp_path: Path) -> None:
    async def body(inventory: Inventory, n1: str) -> None:
        assert await inventory.rotate_key() == 2
        assert inventory.credentials(n1).password == "hunter2"

    with_rack(tmp_path, body)


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with_rack(tmp_path, lambda inventory, n1: inventory.protect(n1, True, actor="ada"))
    inventory = Inventory.open(tmp_path)
    assert inventory.machine("n1").protected
    assert inventory.epoch == 2
    inventory.close()
    inventory.close()
