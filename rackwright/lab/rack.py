"""The virtual rack's life: up, status, down. All or nothing, and nothing left behind.

Theory of operation. What is about to be made is recorded before it is made, so that `down` can
undo an `up` that was killed at any point: processes are recognised by pid and start time, or by a
command line that names the machine's own directory; the namespace by the inode behind its name.
`down` takes the same way whether `up` ended well, failed or died.
"""

import contextlib
import datetime
import json
import os
import secrets
import shutil
import signal
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rackwright.lab import accel, enrolment, network, processes, rackfile, requirements
from rackwright.lab import state as rack_state
from rackwright.lab.bmc import tls
from rackwright.lab.chassis import control
from rackwright.lab.disks import oldos, raw
from rackwright.lab.errors import HardwareError, HostError, LabError
from rackwright.lab.spec import Content, Firmware, MachineSpec, Protocol, RackSpec, to_json
from rackwright.lab.state import RackState

Report = Callable[[str], None]

_READY_DEADLINE_S = 60.0
_POLL_S = 0.05
_PASSWORD_CHARACTERS = 16  # IPMI 2.0 section 22.30 allows 20 bytes
_ENROLMENT = "enrolment.yaml"


def load_rack(path: Path | None) -> RackSpec:
    """The rack file ``path``, or the built-in rack. Raises ``LabError`` with file:line:column."""
    return rackfile.load(path)


def up(spec: RackSpec, state_dir: Path, *, report: Report = print) -> RackState:
    """Bring the rack up, its BMCs answering and its machines powered as the rack file says.

    ``report`` gets a line per step. Raises ``LabError``, having removed whatever was made.
    """
    check_host(spec)
    directory = state_dir.absolute()
    if rack_state.has_record(directory):
        raise HostError(f"a rack is in {directory} already", hint="run: rackwright lab down")
    if not rack_state.is_vacant(directory):
        raise HostError(f"{directory} is not empty", hint="name another state directory")
    was_there = directory.exists()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with rack_state.locked(directory), _ending_raises():
            state = _intend(spec, directory)
            return _build(state, report)
    except BaseException:
        if rack_state.has_record(directory):
            down(directory, report=lambda _line: None)
        elif not was_there and rack_state.is_vacant(directory):
            shutil.rmtree(directory)
        raise


@contextlib.contextmanager
def _ending_raises() -> Iterator[None]:
    """While in here, SIGTERM and SIGHUP raise, as SIGINT does: what was made is taken down."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_host(spec: RackSpec) -> None:
    """Raise ``HostError`` if this host cannot hold the rack; nothing is touched."""
    if os.geteuid() != 0:
        raise HostError("the lab needs root: it makes a network namespace", hint="use sudo")
    absent = requirements.missing()
    if absent:
        packages = " ".join(sorted({item.package for item in absent}))
        names = ", ".join(item.name for item in absent)
        raise HostError(f"missing: {names}", hint=f"apt-get install {packages}")
    if not Path("/dev/net/tun").exists():
        raise HostError("/dev/net/tun is missing", hint="run: modprobe tun")
    if network.exists(spec.namespace):
        raise network.taken(spec.namespace)


def _intend(spec: RackSpec, directory: Path) -> RackState:
    passwords = {machine.name: _password() for machine in spec.machines}
    state = RackState(directory, spec, passwords, {}, was_names_mounted=network.is_names_mounted())
    rack_state.save(state)
    return state


def _password() -> str:
    characters = string.ascii_letters + string.digits
    return "".join(secrets.choice(characters) for _ in range(_PASSWORD_CHARACTERS))


def _build(state: RackState, report: Report) -> RackState:
    spec = state.spec
    state = replace(state, namespace=network.add(spec.namespace))
    rack_state.save(state)
    network.populate(spec)
    report(f"network namespace {spec.namespace}")
    state = _make_disks(state, report)
    state = _configure(state)
    rack_state.save(state)
    for machine in spec.machines:
        _start_chassis(state, machine)
    for machine in spec.machines:
        _await_chassis(state, machine)
        power = "on" if machine.powered_on else "off"
        bmc = machine.bmc
        report(f"{machine.name}: {machine.firmware}, {bmc.protocol} at {bmc.address}, {power}")
    path = enrolment_yaml(state)
    report(f"enrolment in {path}")
    return state


def _make_disks(state: RackState, report: Report) -> RackState:
    """Every machine's disks, and what accelerates them; the probe boots while disks are written."""
    scratch = state.directory / "build"
    wants_old_os = any(d.content is Content.OLD_OS for m in state.spec.machines for d in m.disks)
    wants_probe = state.spec.accel == "auto" and accel.is_possible()
    files = oldos.boot_files(scratch) if wants_old_os or wants_probe else None
    probe = accel.Probe(files) if wants_probe and files else None
    try:
        for machine in state.spec.machines:
            disks = state.machine(machine.name) / "disks"
            disks.mkdir(mode=0o700, parents=True)
            for disk in machine.disks:
                raw.create(disks / f"{disk.serial}.raw", disk.size_bytes)
                if disk.content is Content.OLD_OS and files is not None:
                    oldos.write(disks / f"{disk.serial}.raw", files, scratch)
        chosen = probe.result() if probe else _unprobed(state.spec.accel)
    finally:
        if probe is not None:
            probe.end()
        shutil.rmtree(scratch, ignore_errors=True)
    report(f"acceleration {chosen.name}: {chosen.reason}")
    return replace(state, accel=chosen.name, accel_reason=chosen.reason)


def _unprobed(setting: str) -> accel.Acceleration:
    if setting == "auto":
        return accel.Acceleration("tcg", "no usable /dev/kvm")
    return accel.Acceleration(setting, "the rack file says so")


def _configure(state: RackState) -> RackState:
    """Write each machine's own directory: configuration, firmware variables, certificate."""
    certificates = {}
    for machine in state.spec.machines:
        directory = state.machine(machine.name)
        is_uefi = machine.firmware is Firmware.UEFI
        if is_uefi:
            (directory / "vars.fd").write_bytes(requirements.OVMF_VARS.read_bytes())
        if machine.bmc.protocol is Protocol.REDFISH:
            now = datetime.datetime.now(datetime.UTC)
            certificate, key = tls.self_signed(machine.name, machine.bmc.address, now)
            rack_state.write_private(directory / "bmc.pem", certificate)
            rack_state.write_private(directory / "bmc.key", key)
            certificates[machine.name] = certificate
        config = {
            "rack": state.spec.name,
            "spec": to_json(machine),
            "password": state.passwords[machine.name],
            "accel": state.accel,
            "firmware_code": str(requirements.OVMF_CODE) if is_uefi else "",
            "vars_template": str(requirements.OVMF_VARS) if is_uefi else "",
        }
        rack_state.write_private(directory / "machine.json", json.dumps(config))
    return replace(state, certificates=certificates)


def _start_chassis(state: RackState, machine: MachineSpec) -> None:
    directory = state.machine(machine.name)
    argv = [requirements.program("ip"), "netns", "exec", state.spec.namespace, sys.executable]
    argv += ["-m", "rackwright.lab.chassis", "--directory", str(directory)]
    with (directory / "chassis.log").open("ab") as log:
        child = subprocess.Popen(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    identity = processes.identify(child.pid)
    if identity is not None:
        processes.record(identity, directory / "chassis.json")
    child.returncode = 0  # it is meant to outlive us: no warning that nobody waits for it


def _await_chassis(state: RackState, machine: MachineSpec) -> None:
    directory = state.machine(machine.name)
    deadline_s = time.monotonic() + _READY_DEADLINE_S
    while time.monotonic() < deadline_s:
        if processes.recorded(directory / "chassis.json") is None:
            break
        if (directory / control.SOCKET).exists():
            control.ask(directory, "status")
            return
        time.sleep(_POLL_S)
    log = (directory / "chassis.log").read_text(errors="replace").strip().splitlines()
    words = [line.strip() for line in log if line.strip(" |+-")]
    raise HardwareError(
        f"the chassis of {machine.name} did not come up: {' '.join(words[-1:]) or 'no word of it'}",
        hint="correct what it says, then: rackwright lab up",
    )


def status(state_dir: Path) -> list[dict[str, Any]]:
    """Per machine: name, power, boot device, pids, addresses. Raises ``LabError`` if no rack."""
    state = rack_state.load(state_dir)
    return [_machine_status(state, machine) for machine in state.spec.machines]


def _machine_status(state: RackState, machine: MachineSpec) -> dict[str, Any]:
    directory = state.machine(machine.name)
    chassis = processes.recorded(directory / "chassis.json")
    qemu = processes.recorded(directory / "qemu.json")
    known: dict[str, Any] = {
        "power": "on" if qemu else "off",
        "boot_device": "unknown",
        "boot_persistent": False,
    }
    if chassis is not None:
        try:
            known = control.ask(directory, "status")
        except HardwareError:
            chassis = None  # it has just died, or hangs: its BMC does not answer either
    return {
        "name": machine.name,
        "power": known["power"],
        "boot_device": known["boot_device"],
        "boot_persistent": known["boot_persistent"],
        "firmware": machine.firmware.value,
        "chassis_pid": chassis.pid if chassis else None,
        "qemu_pid": qemu.pid if qemu else None,
        "bmc_protocol": machine.bmc.protocol.value,
        "bmc_address": machine.bmc.address,
        "address": machine.address,
        "macs": [nic.mac for nic in machine.nics],
        "accel": state.accel,
    }


def down(state_dir: Path, *, report: Report = print) -> None:
    """Remove the rack whole, in whatever state it is; nothing if there is none.

    Raises ``LabError`` if the directory is not a rack's, or something does not go away.
    """
    directory = state_dir.absolute()
    if not rack_state.has_record(directory):
        if directory.exists() and not rack_state.is_vacant(directory):
            raise LabError(f"{directory} holds no rack", hint="name the state directory of the lab")
        shutil.rmtree(directory, ignore_errors=True)
        return
    with rack_state.locked(directory):
        state = rack_state.load(directory)
        _end_processes(state)
        _remove_network(state, report)
        shutil.rmtree(directory)
    report(f"rack {state.spec.name} is down")


def _end_processes(state: RackState) -> None:
    records = [state.machine(m.name) / "chassis.json" for m in state.spec.machines]
    chassis = [found for path in records if (found := processes.recorded(path))]
    processes.end(chassis)  # each ends its own QEMU
    while left := list(processes.owned(state.machines)):
        processes.end(left)


def _remove_network(state: RackState, report: Report) -> None:
    name = state.spec.namespace
    namespace = state.namespace
    found = network.identify(name)
    if namespace is None and found is not None and network.is_pristine(name):
        namespace = found  # `up` died between making it and recording it
    if namespace is not None and found == namespace:
        network.depopulate(state.spec)
        strays = network.pids(name)
        network.delete(namespace)
        if strays:
            report(f"processes that are not the lab's were in {name}: {strays}")
    if not state.was_names_mounted:
        network.unmount_names()


def enrolment_yaml(state: RackState) -> Path:
    """Write the enrolment (0600: it holds BMC passwords) and return its path."""
    path = state.directory / _ENROLMENT
    rack_state.write_private(path, enrolment.render(state))
    return path


def wipe_nvram(state_dir: Path, machine: str, pxe_first: bool = True) -> None:
    """Clear a powered-off machine's NVRAM; its setup's order becomes PXE (or the disk) first."""
    state = rack_state.load(state_dir)
    _known(state, machine)
    control.ask(state.machine(machine), "wipe_nvram", pxe_first=pxe_first)


def disk_digest(state_dir: Path, machine: str, serial: str) -> str:
    """SHA-256 that two disks share if and only if a guest reads the same bytes from both."""
    state = rack_state.load(state_dir)
    if serial not in _known(state, machine).disk_order:
        raise LabError(f"{machine} has no disk {serial}")
    return raw.digest(state.machine(machine) / "disks" / f"{serial}.raw")


def _known(state: RackState, name: str) -> MachineSpec:
    for machine in state.spec.machines:
        if machine.name == name:
            return machine
    names = ", ".join(machine.name for machine in state.spec.machines)
    raise LabError(f"the rack has no machine {name}", hint=f"it has {names}")
