"""A play's private directory on tmpfs: made for one play, read by its child, deleted after it.

Everything that ansible-playbook reads is in here: inventory, play, role, values, secrets, and how
each machine is reached and known. Nothing of the operator's own Ansible or SSH set-up takes part.
"""

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rackwright.engine.errors import OperatorError
from rackwright.engine.executors.ansible.child import VARIABLE
from rackwright.engine.executors.ansible.plain_yaml import quoted, unsafe
from rackwright.engine.executors.pool import HostKeyError, trusted_keys
from rackwright.engine.executors.ports import SshTarget

ROLE_FOLDERS = (
    *("tasks", "defaults", "handlers", "templates", "files", "vars", "meta"),
    *("library", "module_utils", "filter_plugins", "lookup_plugins", "action_plugins"),
    *("test_plugins",),
)
REMOTE_MARK = "RACKWRIGHT_PLAY"
"""In the environment of every process that the play starts on a machine."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,253}\Z")
_RESERVED = frozenset({"all", "ungrouped", "localhost"})

_SSH = """\
Host *
  IdentityFile "{key}"
  IdentitiesOnly yes
  IdentityAgent none
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  CheckHostIP no
  VerifyHostKeyDNS no
  CanonicalizeHostname no
  PreferredAuthentications publickey
  BatchMode yes
  ForwardAgent no
  PermitLocalCommand no
  ServerAliveInterval 10
  ServerAliveCountMax 4
  LogLevel ERROR
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One machine of a play. ``values`` become the variable ``rackwright`` of its tasks."""

    machine_id: str
    name: str
    target: SshTarget
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, repr=False)
class Contents:
    """What a play runs. ``secrets`` are in one file, mode 0600, as ``rackwright_secrets``."""

    role: str
    files: Mapping[str, bytes]  # path inside the role's folder -> bytes
    tasks: str  # file below tasks/
    params: Mapping[str, object]
    secrets: Mapping[str, bytes] = field(default_factory=dict)


def mark(marker: str, machine_id: str) -> str:
    """What is in the environment of a play's processes on one machine."""
    return f"{marker}-{hashlib.sha256(machine_id.encode()).hexdigest()[:12]}"


def inventory_name(member: Member) -> str:
    """The machine's name where Ansible reads no pattern or group in it, else its id."""
    for name in (member.name, member.machine_id):
        if _PLAIN.match(name) and name not in _RESERVED:
            return name
    raise OperatorError(f"{member.name!r:.80} is no name that Ansible can take")


class PrivateDirectory:
    def __init__(self, path: Path, marker: str) -> None:
        self.path = path
        self._marker = marker
        self._numbers: dict[str, int] = {}

    def make(self) -> None:
        """Raises ``FileExistsError``: a directory is never shared."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        for name in ("tmp", "home", "ssh", "inventory", "project"):
            (self.path / name).mkdir(mode=0o700)

    def environment(self, programs: Path) -> dict[str, str]:
        """The child's whole environment; nothing is inherited, and nothing in it is secret."""
        private, scratch = str(self.path), str(self.path / "tmp")
        return {
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": f"{private}/home",
            "TMPDIR": scratch,
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            VARIABLE: self._marker,
            "ANSIBLE_CONFIG": f"{private}/ansible.cfg",
            "ANSIBLE_HOME": f"{private}/home",
            "ANSIBLE_LOCAL_TEMP": scratch,
            "ANSIBLE_ROLES_PATH": f"{private}/project/roles",
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
            "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_TIMEOUT": "10",
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_INTERPRETER_PYTHON": "auto_silent",
            "ANSIBLE_NO_TARGET_SYSLOG": "True",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "ANSIBLE_NOCOLOR": "1",
        }

    def write(self, members: Sequence[Member], contents: Contents, client_key: Path) -> None:
        """Raises ``HostKeyError`` for a machine that cannot be known, ``OperatorError``."""
        if re.search(r'["%\s]', str(client_key)):
            raise OperatorError(f"ssh takes no such path for a key: {client_key}")
        self._put("ansible.cfg", "[defaults]\n")  # an own one, so that no other is looked for
        # ansible-runner 2.4.3 forgets settings given as an argument where this file is absent
        self._put("env/settings", '{"suppress_output_file": true, "suppress_ansible_output": true}')
        self._put("ssh/config", _SSH.format(key=client_key))
        hosts = [self._host(number, member) for number, member in enumerate(members)]
        self._put("inventory/hosts.yml", "all:\n  hosts:\n" + "".join(hosts))
        for path, data in contents.files.items():
            if PurePosixPath(path).parts[0] in ROLE_FOLDERS:
                self._put(f"project/roles/{contents.role}/{path}", data)
        self._put("params.yml", unsafe(dict(contents.params)) + "\n")
        secrets = {name: value.decode("utf-8") for name, value in contents.secrets.items()}
        self._put("secrets.yml", unsafe({"rackwright_secrets": secrets}) + "\n")
        self._put("project/play.yml", self._play(contents))

    def drop(self, machine_id: str) -> None:
        """From now on the play's SSH knows the machine no more, and makes no new connection."""
        number = self._numbers.get(machine_id)
        if number is not None:
            (self.path / f"ssh/known{number}").unlink(missing_ok=True)

    def control_path(self, machine_id: str) -> Path | None:
        """The socket of its shared connection, if there is one."""
        number = self._numbers.get(machine_id)
        path = self.path / f"ssh/c{number}"
        return path if number is not None and path.exists() else None

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _play(self, contents: Contents) -> str:
        files = ", ".join(quoted(f"{self.path}/{name}.yml") for name in ("params", "secrets"))
        return (
            "- hosts: all\n"
            "  gather_facts: false\n"
            f"  environment: {{{REMOTE_MARK}: '{{{{ rackwright_mark }}}}'}}\n"
            f"  vars_files: [{files}]\n"
            "  tasks:\n"
            "  - ansible.builtin.import_role:\n"
            f"      name: {quoted(contents.role)}\n"
            f"      tasks_from: {quoted(contents.tasks)}\n"
        )

    def _host(self, number: int, member: Member) -> str:
        target = member.target
        self._numbers[member.machine_id] = number
        trusted_keys(target)  # refuses a target that says nothing checkable
        alias = target.principal or f"rackwright-{number}"
        for text, pattern in ((alias, _PLAIN), (target.user, _PLAIN), (target.address, _ADDRESS)):
            if not pattern.match(text):
                raise HostKeyError(f"{text!r:.80} is no name that ssh can take")
        key = target.pinned_host_key or target.certificate_authority
        kind = "" if target.pinned_host_key else "@cert-authority "
        self._put(f"ssh/known{number}", f"{kind}{alias} {' '.join(key.split()[:2])}\n")
        own = self.path / "ssh"
        arguments = (
            f"-F {own}/config -o HostKeyAlias={alias} "
            f"-o UserKnownHostsFile={own}/known{number} -o ControlPath={own}/c{number}"
        )
        is_root = target.user == "root"
        own_mark = mark(self._marker, member.machine_id)
        scratch = f"/run/rackwright/ansible-{own_mark}" if is_root else "~/.ansible/tmp"
        values = {
            "ansible_connection": quoted("ssh"),
            "ansible_host": quoted(target.address),
            "ansible_port": str(int(target.port)),
            "ansible_user": quoted(target.user),
            "ansible_become": str(not is_root).lower(),
            "ansible_become_method": quoted("sudo"),
            "ansible_remote_tmp": quoted(scratch),
            "ansible_ssh_common_args": quoted(arguments),
            "rackwright_mark": quoted(own_mark),
            "rackwright": unsafe(dict(member.values)),
        }
        lines = "".join(f"      {name}: {value}\n" for name, value in values.items())
        return f"    {quoted(inventory_name(member))}:\n{lines}"

    def _put(self, name: str, data: str | bytes) -> None:
        path = self.path / name
        for parent in reversed(path.relative_to(self.path).parents):
            (self.path / parent).mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
