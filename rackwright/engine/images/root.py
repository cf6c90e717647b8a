"""A Debian root as a tar, by mmdebstrap in a mount and PID namespace of its own.

Whatever ends us or it, the kernel takes its mounts and processes along; what is left is a temporary
folder in the store, which the next build removes.
"""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from rackwright.engine.errors import EngineError, OperatorError
from rackwright.engine.images.mirror import Mirror
from rackwright.engine.images.recipe import RECIPES, Recipe

Report = Callable[[str], None]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Files of an artifact carry no time newer than this (reproducible-builds.org, SOURCE_DATE_EPOCH).
EPOCH = 1_735_689_600
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "zstd": "zstd",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
}


class BuildFailedError(EngineError):
    """A tool of the build failed; its last lines are in the message."""

    retryable = True


def missing_tools() -> list[str]:
    """Debian package names of what the host lacks for a build."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {package for tool, package in _TOOLS.items() if not shutil.which(tool, path=path)}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def require_tools() -> None:
    if missing := missing_tools():
        raise OperatorError(
            "this machine lacks tools to build images",
            hint=f"apt-get install {' '.join(missing)}",
        )
    if os.geteuid() != 0:
        raise OperatorError("building images needs root", hint="run it with sudo")


def make_root(recipe: Recipe, mirror: Mirror, work: Path, report: Report) -> Path:
    """Run mmdebstrap; returns the tar. ``work`` is private and the caller's to remove."""
    tar = work / "root.tar"
    temporary = work / "tmp"
    temporary.mkdir(mode=0o755)
    apt = work / "apt.conf"
    apt.write_text(host_apt_options())
    sources = work / "sources.list"
    sources.write_text(mirror.sources(recipe.suite, recipe.components, KEYRING))
    prune = work / "prune"
    prune.write_text("".join(f"{pattern}\n" for pattern in recipe.prune))
    environment = _environment(recipe, temporary, prune)
    if not mirror.security:
        report("no security archive is configured on this machine: building without its updates")
    _run(_command(recipe, tar, apt, sources), environment, work / "mmdebstrap.log", report)
    return tar


def host_apt_options() -> str:
    """The host's own network settings for apt (proxies, certificates, timeouts), as a config."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"],
        capture_output=True,
        text=True,
        check=True,
    )
    keep = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    lines = [line for line in dump.stdout.splitlines() if line.startswith(keep)]
    lines = [line for line in lines if not line.endswith(' "";')]
    lines += [
        'Acquire::Languages "none";',
        'Dir::Etc::netrc "/etc/apt/auth.conf";',
        'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
    ]
    return "\n".join(lines) + "\n"


def _command(recipe: Recipe, tar: Path, apt: Path, sources: Path) -> list[str]:
    variant = "extract" if recipe.kind == "workload" else "minbase"
    hooks = []
    if recipe.kind != "workload":
        for script in (recipe.folder / "customize.sh", RECIPES / "prune.sh"):
            hooks.append(f'--customize-hook=bash {shlex.quote(str(script))} "$1"')
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("mmdebstrap", "--mode=root", f"--variant={variant}", "--format=tar"),
        "--architectures=amd64",
        f"--include={','.join(recipe.packages)}",
        f"--aptopt={apt}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.exclude),
        *hooks,
        *(recipe.suite, str(tar), str(sources)),
    ]


def _environment(recipe: Recipe, temporary: Path, prune: Path) -> dict[str, str]:
    environment = {
        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "TMPDIR": str(temporary),
        "RW_RECIPE": str(recipe.folder),
        "RW_PRUNE": str(prune),
        "RW_BUNDLE": " ".join(recipe.bundle.get("packages", ())),
    }
    if recipe.kind == "ramdisk":
        environment["INITRD"] = "No"  # honoured by Debian's kernel hooks: the root is the initrd
    return environment


def _run(command: list[str], environment: Mapping[str, str], log: Path, report: Report) -> None:
    with log.open("wb") as sink:
        # its own session: a Ctrl-C reaches us alone, and we end it
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            process.send_signal(signal.SIGKILL)  # the PID namespace dies with it
            process.wait()
            raise
    if status != 0:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        for line in tail:
            report(line)
        causes = [line for line in tail if line.startswith("E:")] or tail[-3:]
        raise BuildFailedError(
            f"mmdebstrap failed ({status}): {' | '.join(causes)}",
            hint="check that the Debian mirror is reachable (apt-get update)",
        )
