"""Run a role's script as a machine would, with the programs it calls replaced by tables of answers.

The script is rendered by the product's own template language and preceded by its own prelude; its
absolute paths lead into a directory of the test. ``sleep`` returns at once.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import rackwright
from rackwright.engine.content.library import Library
from rackwright.engine.content.template import compile_template, environment

ROLES = Path(rackwright.__file__).parent / "roles"
PRELUDE = Path(rackwright.__file__).parent / "engine/executors/shell/prelude.sh"
NODE = "n" * 25
CLUSTER = "c" * 25
INFO = "info --format {{json .}}"

# Answers lie in files named by program, tried in order: a glob over the arguments, an exit code and
# a text. A rule may be used up: then the next one that fits answers.
_FAKE = r"""#!/bin/bash
name=${0##*/} home=@HOME@
printf '%s\n' "$name $*" >>"$home/calls"
[ "$name" != curl ] || cat >>"$home/curl-stdin"
index=0
while IFS=$'\x1f' read -r pattern code times text; do
  index=$((index + 1))
  # shellcheck disable=SC2053
  [[ "$*" == $pattern ]] || continue
  used="$home/used-$name-$index"
  if [ "$times" != 0 ]; then
    [ "$(cat "$used" 2>/dev/null | wc -l)" -lt "$times" ] || continue
    echo >>"$used"
  fi
  [ -z "$text" ] || printf '%b\n' "$text"
  exit "$code"
done <"$home/$name.table"
echo "fake $name: nothing answers: $*" >&2
exit 99
"""

MACHINE: dict[str, Any] = {
    "id": "m-1",
    "name": "n1",
    "labels": {},
    "firmware": "uefi",
    "pxe_mac": "52:54:00:77:01:01",
    "management_address": "10.77.0.11/24",
    "address": "10.77.0.11",
    "cluster_address": "10.77.0.11",
    "gateway": "10.77.0.1",
    "dns": ["10.77.0.1"],
    "console": "ttyS0,115200n8",
    "drives": [],
    "product": "Standard PC",
    "uuid": "4c4c4544-0042-4a10-8051-b7c04f4d3532",
    "serial": "SN-1",
}
FILE = {"sha256": "ab" * 32, "size_bytes": 1, "url": "http://10.77.0.1:8480/file"}
ARTIFACTS = {
    "workload/busybox": ("busybox.tar",),
    "image/debian-12": ("rootfs.ext4.zst", "image.json"),
    "ramdisk": ("vmlinuz", "initrd.zst"),
}


def context(**changes: Any) -> dict[str, Any]:
    """A context as the executor gives it."""
    values: dict[str, Any] = {
        "params": {},
        "machine": MACHINE,
        "erase": None,
        "installed": None,
        "cluster": {"name": "demo", "id": ""},
        "run": {"id": "r-1"},
        "stage": "stage",
        "attempt": 1,
        "outputs": {},
        "files": {"workload": "/files/busybox.tar", "bundle": "/files/bundle.tar"},
        "artifacts": {
            name: {"digest": "ab" * 32, "size_bytes": 1, "url": "http://10.77.0.1:8480/x"}
            | {"files": dict.fromkeys(files, FILE)}
            for name, files in ARTIFACTS.items()
        },
        "controller": {"url": "http://10.77.0.1:8480", "address": "10.77.0.1"},
    }
    return values | changes


@cache
def defaults(role: str) -> dict[str, Any]:
    properties = Library.over_packaged().role(role).schema.get("properties", {})
    return {name: about["default"] for name, about in properties.items() if "default" in about}


def render(role: str, script: str, values: Mapping[str, Any]) -> str:
    """The script with its role's prelude before it, as the executor joins them."""
    params = defaults(role) | values["params"]
    prelude = Library.over_packaged().role(role).prelude
    parts = []
    for path in (prelude, script) if prelude != script else (script,):
        if path:
            template = compile_template(environment(), (ROLES / role / path).read_text())
            parts.append(template.render({**values, "params": params}).rstrip())
    return "\n".join(parts) + "\n"


@dataclass
class Bench:
    """One machine's worth of fake programs below ``home``."""

    home: Path
    tables: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for directory in ("bin", "rw/secrets", "etc/docker", "var"):
            (self.home / directory).mkdir(parents=True)
        self.answer("sleep", "*")

    def answer(
        self, program: str, arguments: str, text: str = "", *, code: int = 0, times: int = 0
    ) -> None:
        """``program`` called with ``arguments`` (a glob) prints ``text``; ``times`` 0: always."""
        table = self.tables.setdefault(program, [])
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
        table.append(f"{arguments}\x1f{code}\x1f{times}\x1f{escaped}\n")
        (self.home / f"{program}.table").write_text("".join(table))
        fake = self.home / "bin" / program
        fake.write_text(_FAKE.replace("@HOME@", str(self.home)))
        fake.chmod(0o755)

    def secret(self, name: str, value: str) -> None:
        (self.home / "rw/secrets" / name).write_text(value)

    def run(self, role: str, script: str, **values: Any) -> subprocess.CompletedProcess[str]:
        rendered = render(role, script, context(**values))
        for absolute in (
            "/etc/docker",
            "/etc/rackwright",
            "/var/lib/rackwright",
            "/var/run/docker.sock",
        ):
            rendered = rendered.replace(absolute, f"{self.home}{absolute}")
        text = f"export RW_DIR={self.home}/rw\n{PRELUDE.read_text()}\n{rendered}"
        bash = shutil.which("bash") or "bash"
        return subprocess.run(
            [bash, "-c", text],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": f"{self.home}/bin:{os.defpath}:/usr/sbin:/sbin", "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
        )

    def calls(self, program: str = "") -> list[str]:
        path = self.home / "calls"
        made = path.read_text().splitlines() if path.exists() else []
        return [call for call in made if call.startswith(f"{program} ")] if program else made

    # the Docker of a Swarm node -------------------------------------------------------------------

    def info(self, state: str, *, error: str = "", times: int = 0) -> None:
        """A node that is in no Swarm, or not yet."""
        swarm = {"NodeID": "", "NodeAddr": "", "LocalNodeState": state, "Error": error}
        self.answer("docker", INFO, info(swarm, str(self.home / "var/docker")), times=times)

    def member(
        self, *, role: str = "manager", cluster: str = CLUSTER, by_api: bool = False
    ) -> None:
        """An active member, with a node certificate as swarmkit issues it."""
        root = self.home / "var/docker"
        certificates = root / "swarm/certificates"
        certificates.mkdir(parents=True, exist_ok=True)
        (certificates / "swarm-node.crt").write_bytes(certificate(cluster, NODE, role))
        swarm: dict[str, Any] = {
            **{"NodeID": NODE, "NodeAddr": "10.77.0.11", "LocalNodeState": "active"},
            **{"ControlAvailable": role == "manager", "Error": ""},
            "RemoteManagers": [{"NodeID": "r" * 25, "Addr": "10.77.0.11:2377"}],
        }
        if role == "manager":
            swarm["Cluster"] = {"ID": cluster, "Spec": {"Name": "default"}}
        said = info(swarm, str(root))
        if by_api:
            self.answer("curl", "*http://localhost/info", said)
        else:
            self.answer("docker", INFO, said)


def info(swarm: Mapping[str, Any], root: str) -> str:
    """What a daemon says of itself, in the order in which moby's types.Info has it."""
    return json.dumps(
        {
            "ID": "KXKI:QLYS",
            "Driver": "overlay2",
            "Plugins": {"Volume": ["local"]},
            "LoggingDriver": "json-file",
            "CgroupDriver": "systemd",
            "CgroupVersion": "2",
            "KernelVersion": "6.1.0-1",
            "RegistryConfig": {"IndexConfigs": {"docker.io": {"Name": "docker.io"}}},
            "DockerRootDir": root,
            "NoProxy": "",
            "Name": "n1",
            "ServerVersion": "20.10.24+dfsg1",
            "Swarm": swarm,
            "ContainerdCommit": {"ID": "1.6.20", "Expected": "1.6.20"},
        },
        separators=(",", ":"),
    )


def certificate(cluster: str, node: str, role: str) -> bytes:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"swarm-{role}"),
            x509.NameAttribute(NameOID.COMMON_NAME, node),
        ]
    )
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    return pem + pem  # node, then CA
