"""SSH fan-out beside bare asyncssh, pyinfra, parallel-ssh and Ansible: a fleet, and real sshd's.

The same work for each: connect, verify the host key, run one command, read its output.
"""

import contextlib
import getpass
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.contest import ROOT, Contestant, Row, contest, named, rows
from bench.peers.venvs import bin_of, version_of
from bench.ssh import site
from bench.ssh.bare import COMMAND
from bench.tables import versions

FORKS: Final = "50"
BUDGETED: Final = 1000
"""Budgets are for so many machines; with fewer the start-up weighs more."""
OURS, BARE = "rackwright: pool", "bare asyncssh"
EXECUTOR, BARE_3 = "rackwright: executor, 3 scripts", "bare asyncssh, the same 3 scripts"
CIPHERED = "bare asyncssh, our ciphers"


def measured(*, quick: bool, rounds: int) -> list[Row]:
    large, small, real = (60, 20, 4) if quick else (1000, 200, 32)
    return _fleet_rows(large, small, rounds) + _sshd_rows(real, rounds)


def _fleet_rows(large: int, small: int, rounds: int) -> list[Row]:
    group = "SSH fan-out, asyncssh-server fleet"
    with tempfile.TemporaryDirectory() as name, _raised_file_limit():
        folder = Path(name)
        site.make(folder, large)
        _inventories(folder, large)
        with _fleet(folder):
            contestants = [
                *_python(folder, large),
                *_peers(folder, large, small),
            ]
            results = contest(contestants, rounds=rounds)
    found = rows(group, results, OURS)
    if large >= BUDGETED:
        _add_budgets(found)
    ours, bare = named(results, EXECUTOR), named(results, BARE_3)
    if ours and bare:
        row = next(row for row in found if row["measure"] == EXECUTOR)
        wall, cpu = ours.wall_s() / bare.wall_s(), ours.cpu_s() / bare.cpu_s()
        row["note"] = f"beside the same scripts by bare asyncssh: wall {wall:.2f}x, CPU {cpu:.2f}x"
    return found


def _sshd_rows(count: int, rounds: int) -> list[Row]:
    group = "SSH fan-out, real sshd"
    if getpass.getuser() != "root":
        return [{"group": group, "measure": group, "failed": "needs root, which sshd lets in"}]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _sshds(folder, count):
            _inventories(folder, count)
            contestants = [
                *_python(folder, count)[:2],
                Contestant(
                    "rackwright: executor, check + apply + verify",
                    count,
                    versions("asyncssh"),
                    lambda: [*_ours(folder, count, "steps"), folder / "steps"],
                    note="apply is a durable step: started, waited for, attachable",
                ),
                *_peers(folder, count, count),
                _ansible("Ansible ad hoc, command", folder, count, ["-m", "command"]),
            ]
            return rows(group, contest(contestants, rounds=rounds), OURS)


def _add_budgets(found: list[Row]) -> None:
    by_name = {row["measure"]: row for row in found if "wall_s" in row}
    ours, bare = by_name.get(OURS), by_name.get(BARE)
    if ours and bare:
        worst = max(ours["wall_s"] / bare["wall_s"], ours["cpu_s"] / bare["cpu_s"])
        ours["budget"] = {"text": "<= 1.15x bare asyncssh, wall and CPU", "value": worst}
        ours["budget"]["limit"] = 1.15
    for name, row in by_name.items():
        at_least = 3 if name == "pyinfra" else 10 if name.startswith("Ansible") else None
        if at_least:
            row["budget"] = {
                "text": f">= {at_least}x ours",
                "value": row["ratio"],
                "limit": at_least,
                "at_least": True,
            }


# contestants ------------------------------------------------------------------------------------


def _python(folder: Path, count: int) -> list[Contestant]:
    about = versions("asyncssh")
    bare: list[str | Path] = [sys.executable, "-m", "bench.ssh.bare", folder, str(count)]
    return [
        Contestant(OURS, count, about, lambda: _ours(folder, count, "pool")),
        Contestant(BARE, count, about, lambda: bare),
        Contestant(CIPHERED, count, about, lambda: [*bare, "0", "ours"]),
        Contestant(EXECUTOR, count, about, lambda: _ours(folder, count, "executor")),
        Contestant(BARE_3, count, about, lambda: [*bare, "3"]),
    ]


def _ours(folder: Path, count: int, how: str) -> list[str | Path]:
    return [sys.executable, "-m", "bench.ssh.ours", folder, str(count), how]


def _peers(folder: Path, large: int, small: int) -> list[Contestant]:
    return [
        Contestant(
            "pyinfra",
            large,
            version_of("pyinfra", "pyinfra", "paramiko"),
            lambda: [
                bin_of("pyinfra") / "pyinfra",
                folder / f"hosts{large}.py",
                *("exec", "--", *shlex.split(COMMAND)),
            ],
            whole=True,
        ),
        Contestant(
            "parallel-ssh",
            small,
            version_of("parallel-ssh", "parallel-ssh", "ssh2-python"),
            lambda: [
                bin_of("parallel-ssh") / "python",
                *("-m", "bench.contestants.parallel_ssh_run", folder, str(small)),
            ],
            whole=True,
            note="verifies no host key",
        ),
        _ansible("Ansible ad hoc, raw", folder, small, ["-m", "raw"]),
        Contestant(
            "Ansible playbook, raw",
            small,
            version_of("ansible-core", "ansible-core"),
            lambda: [
                bin_of("ansible-core") / "ansible-playbook",
                *("-i", folder / f"hosts{small}.ini", "-f", FORKS, folder / "play.yaml"),
            ],
            whole=True,
            environment=_ansible_environment(folder),
        ),
    ]


def _ansible(name: str, folder: Path, count: int, module: Sequence[str]) -> Contestant:
    return Contestant(
        name,
        count,
        version_of("ansible-core", "ansible-core"),
        lambda: [
            bin_of("ansible-core") / "ansible",
            *("all", "-i", folder / f"hosts{count}.ini", "-f", FORKS),
            *(*module, "-a", COMMAND),
        ],
        whole=True,
        environment=_ansible_environment(folder),
    )


def _ansible_environment(folder: Path) -> dict[str, str]:
    """As kind to it as we can: no config of the user's, and no master process for one command."""
    options = {
        "ControlMaster": "no",
        "GSSAPIAuthentication": "no",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f"{folder}/known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
    }
    return {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_PRIVATE_KEY_FILE": str(folder / "client"),
        "ANSIBLE_SSH_ARGS": " ".join(["-F none", *(f"-o {k}={v}" for k, v in options.items())]),
    }


def _inventories(folder: Path, count: int) -> None:
    known = (folder / "known_hosts").read_text().splitlines()
    (folder / "known").mkdir()
    for size in {count, min(count, 200), min(count, 20)}:
        hosts = site.read(folder, size)
        (folder / f"hosts{size}.ini").write_text(
            "".join(
                f"{h.name} ansible_host={h.address} ansible_port={h.port} ansible_user={h.user} "
                f"ansible_python_interpreter=/usr/bin/python3\n"
                for h in hosts
            )
        )
        listed = []
        for host, line in zip(hosts, known, strict=False):
            own = folder / "known" / host.name  # paramiko reads the whole file on each connect
            own.write_text(line + "\n")
            listed.append((host.name, _pyinfra_data(folder, host, own)))
        (folder / f"hosts{size}.py").write_text(f"machines = {listed!r}\n")
    (folder / "ansible.cfg").touch()
    (folder / "play.yaml").write_text(
        f"- hosts: all\n  gather_facts: false\n  tasks:\n    - raw: {COMMAND}\n"
    )


def _pyinfra_data(folder: Path, host: site.Host, known: Path) -> dict[str, object]:
    return {
        "ssh_hostname": host.address,
        "ssh_port": host.port,
        "ssh_user": host.user,
        "ssh_key": str(folder / "client"),
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_config_file": "/dev/null",
    }


# machines ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _fleet(folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.ssh.fleet", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as fleet:
        assert fleet.stdout is not None
        try:
            if fleet.stdout.readline() != "ready\n":
                raise RuntimeError("the fleet of SSH servers did not start")
            yield
        finally:
            fleet.kill()


@contextlib.contextmanager
def _sshds(folder: Path, count: int) -> Iterator[None]:
    """One daemon a machine, on a port each: they run what they are told, on this host."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    hosts = site.make(folder, count, _free_ports(count))
    with contextlib.ExitStack() as stack:
        for host in hosts:
            key = folder / "host" / host.name
            config = folder / "host" / f"{host.name}.conf"
            config.write_text(
                f"ListenAddress {host.address}\nPort {host.port}\nHostKey {key}\n"
                f"HostCertificate {key}-cert.pub\nAuthorizedKeysFile {folder}/client.pub\n"
                "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
                # a nested shell reads no start-up file: root's own is not measured
                "SetEnv SHLVL=2\nPermitRootLogin prohibit-password\nLogLevel ERROR\n"
            )
            daemon = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
            stack.callback(daemon.wait)
            stack.callback(daemon.terminate)
        for host in hosts:
            _wait_for(host)
        yield


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_for(host: site.Host) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            socket.create_connection((host.address, host.port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"sshd does not listen on port {host.port}")


@contextlib.contextmanager
def _raised_file_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
