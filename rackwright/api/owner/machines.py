"""Machines for the API: enrol, show, release, protect, forget, power."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rackwright.api.owner.convert import credentials_of
from rackwright.api.timestamps import iso_utc, iso_utc_or_none
from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.drivers.power.base import PowerDriver
from rackwright.engine.errors import OperatorError
from rackwright.inventory.facade import Inventory
from rackwright.inventory.lifecycle import TRANSITIONS, State
from rackwright.inventory.values import MachineView

OPERATOR = "operator"
_INTERNAL = ("cluster_address", "machine_class", "generation")


class MachineService:
    def __init__(self, inventory: Inventory, drivers: PowerDrivers) -> None:
        self._inventory = inventory
        self._drivers = drivers

    async def enrol(
        self, fmt: str, text: str, filename: str, machines: Sequence[Mapping[str, Any]]
    ) -> dict[str, list[str]]:
        """All machines of the document, or none. Raises EnrolError with every mistake's place."""
        if fmt == "json":
            text = json.dumps({"machines": list(machines)})  # JSON is YAML
        elif fmt == "csv" and not filename.endswith(".csv"):
            filename += ".csv"
        report = await self._inventory.enrol(text, filename, actor=OPERATOR)
        answer: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": []}
        for machine in report.machines:
            answer[machine.outcome].append(machine.name)
        return answer

    def page(self, *, selector: str, state: str, after: str, limit: int) -> dict[str, Any]:
        if state and state not in set(State):
            raise OperatorError(
                f"{state!r} is not a state of a machine",
                hint=f"one of {', '.join(known.value for known in State)}",
            )
        views = self._inventory.machines(
            selector=selector, states=(state,) if state else (), after=after, limit=limit
        )
        return {
            "items": [_row(view) for view in views],
            "next": views[-1].name if len(views) == limit else None,
        }

    def show(self, name: str) -> dict[str, Any]:
        view = self._inventory.machine(name)
        found = {k: v for k, v in asdict(view).items() if k not in _INTERNAL}
        pxe = view.pxe_mac
        found["class"] = view.machine_class
        found["enrolled_at"] = iso_utc(view.enrolled_at)
        found["discovered_at"] = iso_utc_or_none(view.discovered_at)
        found["nics"] = [{**asdict(nic), "pxe": nic.mac == pxe} for nic in view.nics]
        binding = self._inventory.ssh_binding(view.id)
        if binding is not None:
            found["ssh"] = asdict(binding)
        return found

    async def release(self, name: str, accept: Sequence[str]) -> dict[str, Any]:
        """``accept`` must name every drive that holds data: the operator has seen them."""
        view = self._inventory.machine(name)
        holding = {drive.serial for drive in view.drives or () if drive.has_data}
        unseen = sorted(holding - set(accept))
        if unseen:
            raise OperatorError(
                f"{view.name}: drives {', '.join(unseen)} hold data and were not named",
                hint="look at them first: rackwright machine show " + view.name,
                machine=view.name,
            )
        await self._inventory.release(name, actor=OPERATOR)
        return self.show(name)

    async def protect(self, name: str, *, protected: bool) -> dict[str, Any]:
        await self._inventory.protect(name, protected, actor=OPERATOR)
        return self.show(name)

    async def change_state(self, name: str, target: str, reason: str) -> dict[str, Any]:
        """Only by a transition that is an operator's: a run does not end by decree."""
        view = self._inventory.machine(name)
        possible = [
            end.value
            for (start, end), change in TRANSITIONS.items()
            if start == view.state and change.is_operators
        ]
        if target not in possible:
            raise OperatorError(
                f"{view.name} is {view.state}; nobody but a run makes it {target}"
                if target in set(State)
                else f"{target!r} is not a state of a machine",
                hint=f"an operator can make it {' or '.join(possible) or 'nothing else'}",
                machine=view.name,
            )
        if view.run:
            raise OperatorError(
                f"{view.name} is reserved by run {view.run}",
                hint=f"wait for it, or cancel it: rackwright run cancel {view.run}",
                machine=view.name,
            )
        await self._inventory.set_state(name, target, actor=OPERATOR, reason=reason)
        return self.show(name)

    async def forget(self, name: str) -> None:
        await self._inventory.forget(name, actor=OPERATOR)

    async def power_state(self, name: str) -> str:
        driver = self._driver(self._inventory.machine(name))
        try:
            return (await driver.power_state()).value
        finally:
            await driver.close()

    async def power(self, name: str, action: str) -> None:
        view = self._inventory.machine(name)
        if view.protected:
            raise OperatorError(
                f"{view.name} is protected: its power is not touched",
                hint=f"rackwright machine protect --off {view.name}",
                machine=view.name,
            )
        if view.run:
            raise OperatorError(
                f"{view.name} is reserved by run {view.run}",
                hint=f"wait for it, or cancel it: rackwright run cancel {view.run}",
                machine=view.name,
            )
        driver = self._driver(view)
        await self._inventory.record_audit(
            actor=OPERATOR, action=f"machine.power_{action}", subject=view.id
        )
        try:
            match action:
                case "on":
                    await driver.power_on()
                case "off":
                    await driver.power_off()
                case _:
                    await driver.reset()
        finally:
            await driver.close()

    async def sensors(self, name: str) -> Mapping[str, str]:
        driver = self._driver(self._inventory.machine(name))
        try:
            return await driver.sensors()
        finally:
            await driver.close()

    def _driver(self, view: MachineView) -> PowerDriver:
        if view.bmc is None:
            raise OperatorError(
                f"{view.name} has no BMC", hint="enrol it with bmc:", machine=view.name
            )
        found = self._inventory.credentials(view.id)
        return self._drivers.open(found.protocol, credentials_of(found))


def _row(view: MachineView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "site": view.site,
        "rack": view.rack,
        "class": view.machine_class,
        "labels": dict(view.labels),
        "firmware": view.firmware,
        "origin": view.origin,
        "bmc": f"{view.bmc.protocol}:{view.bmc.address}" if view.bmc else None,
        "address": view.management_address.partition("/")[0] or view.cluster_address,
        "drives": None if view.drives is None else len(view.drives),
        "cluster": view.cluster,
        "pool": view.pool,
        "protected": view.protected,
        "run": view.run,
    }
