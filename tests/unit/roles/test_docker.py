"""The Docker role's decisions: a stopped daemon is repaired, a silent one is not guessed about."""

import hashlib
import json
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.unit.roles.bench import INFO, Bench, info

ROLE = "runtime/docker"
SATISFIED, UNSATISFIED, UNKNOWN = 0, 10, 1
CONFIG = (
    '{"exec-opts": ["native.cgroupdriver=systemd"], "log-driver": "json-file", '
    '"log-opts": {"max-file": "3", "max-size": "10m"}}\n'
)


def about(version: str) -> str:
    return info({}, "/var/lib/docker").replace("20.10.24+dfsg1", version)


@pytest.fixture
def installed(bench: Bench) -> Bench:
    """Docker as this role leaves it; its daemon's answers are the test's."""
    bench.answer("dockerd", "--version", "Docker version 20.10.24+dfsg1, build 297e128")
    bench.answer("systemctl", "is-enabled docker.service", "enabled")
    (bench.home / "etc/docker/daemon.json").write_text(CONFIG)
    return bench


def test_running_docker_is_satisfied(installed: Bench) -> None:
    installed.answer("docker", INFO, about("20.10.24+dfsg1"))
    done = installed.run(ROLE, "install/check.sh")
    assert done.returncode == SATISFIED, done.stderr


def test_stopped_docker_is_unsatisfied(installed: Bench) -> None:
    installed.answer("docker", INFO, code=1)
    installed.answer("systemctl", "is-active docker.service", "inactive", code=3)
    done = installed.run(ROLE, "install/check.sh")
    assert (done.returncode, done.stderr) == (UNSATISFIED, "docker.service is not running\n")


def test_docker_that_is_starting_is_waited_for(installed: Bench) -> None:
    installed.answer("docker", INFO, code=1, times=3)
    installed.answer("docker", INFO, about("28.5.1"))
    installed.answer("systemctl", "is-active docker.service", "activating")
    assert installed.run(ROLE, "install/check.sh").returncode == SATISFIED


def test_docker_that_is_active_and_silent_is_unknown(installed: Bench) -> None:
    installed.answer("docker", INFO, code=1)
    installed.answer("systemctl", "is-active docker.service", "active")
    assert installed.run(ROLE, "install/check.sh").returncode == UNKNOWN


def test_missing_old_disabled_and_reconfigured_docker_are_unsatisfied(bench: Bench) -> None:
    bench.answer("systemctl", "is-enabled docker.service", "masked", times=1)
    bench.answer("systemctl", "is-enabled docker.service", "enabled")
    said = []
    for _ in range(2):
        done = bench.run(ROLE, "install/check.sh")
        assert done.returncode == UNSATISFIED
        said.append(done.stderr.strip())
        bench.answer("dockerd", "--version", "x")
        bench.answer("docker", INFO, about("20.10.24"))
    assert said[0].startswith("Docker is not installed")
    assert said[1] == "docker.service is masked"
    assert "is missing" in bench.run(ROLE, "install/check.sh").stderr
    (bench.home / "etc/docker/daemon.json").write_text("{}\n")
    assert "differs" in bench.run(ROLE, "install/check.sh").stderr
    unmanaged = {"manage_config": False}
    assert bench.run(ROLE, "install/check.sh", params=unmanaged).returncode == SATISFIED
    newer = bench.run(ROLE, "install/check.sh", params=unmanaged | {"min_version": "24.0"})
    assert (newer.returncode, newer.stderr) == (UNSATISFIED, "Docker is 20.10.24\n")


def systemd(bench: Bench, *, active: bool) -> None:
    bench.answer("systemctl", "is-active --quiet docker.service", code=0 if active else 3)
    bench.answer("systemctl", "*")


def test_apply_starts_a_stopped_docker_and_installs_nothing(installed: Bench) -> None:
    systemd(installed, active=False)
    installed.answer("docker", INFO, code=1, times=2)
    installed.answer("docker", INFO, about("20.10.24"))
    done = installed.run(ROLE, "install/apply.sh")
    assert done.returncode == 0, done.stderr
    calls = installed.calls("systemctl")
    assert "systemctl start docker.service" in calls
    assert "systemctl daemon-reload" not in calls
    assert not [c for c in installed.calls() if "restart" in c or c.startswith("apt-get")]
    assert not (installed.home / "etc/docker/daemon.json.before-rackwright").exists()


def test_apply_writes_a_changed_configuration_keeps_the_old_one_and_restarts(
    installed: Bench,
) -> None:
    systemd(installed, active=True)
    installed.answer("docker", INFO, about("20.10.24"))
    (installed.home / "etc/docker/daemon.json").write_text('{"debug": true}\n')
    done = installed.run(
        ROLE, "install/apply.sh", params={"data_root": "/srv/docker", "log_max_size": "1g"}
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((installed.home / "etc/docker/daemon.json").read_text())
    assert written["data-root"] == "/srv/docker"
    assert written["log-opts"]["max-size"] == "1g"
    kept = installed.home / "etc/docker/daemon.json.before-rackwright"
    assert kept.read_text() == '{"debug": true}\n'
    assert "systemctl restart docker.service" in installed.calls("systemctl")


def test_apply_says_why_docker_does_not_start(installed: Bench) -> None:
    installed.answer("systemctl", "start docker.service", code=1)
    systemd(installed, active=False)
    installed.answer("journalctl", "*", "failed to mount overlay")
    done = installed.run(ROLE, "install/apply.sh")
    assert done.returncode == 1
    assert "failed to mount overlay" in done.stderr


def bundle(path: Path, files: dict[str, bytes], sums: dict[str, bytes] | None = None) -> Path:
    listed = sums if sums is not None else files
    lines = "".join(f"{hashlib.sha256(b).hexdigest()}  {n}\n" for n, b in listed.items())
    with tarfile.open(path, "w") as tar:
        for name, body in {**files, "SHA256SUMS": lines.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, BytesIO(body))
    return path


def install(bench: Bench, path: Path) -> subprocess.CompletedProcess[str]:
    systemd(bench, active=False)
    bench.answer("apt-get", "*", "apt was here")
    bench.answer("dpkg", "*", "dpkg was here")
    bench.answer("docker", INFO, about("20.10.24"))
    return bench.run(ROLE, "install/apply.sh", files={"bundle": str(path)})


def test_apply_installs_from_the_bundle_without_a_network(bench: Bench, tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle.tar", {"a.deb": b"a", "b.deb": b"b"})
    done = install(bench, path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    [simulated] = bench.calls("apt-get")  # no image of ours: whether it fits is asked first
    assert "--simulate" in simulated
    assert "Dir::Etc::SourceList=/dev/null" in simulated
    [call] = bench.calls("dpkg")
    assert "--refuse-downgrade" in call
    assert call.count(".deb") == 2
    assert bench.calls("systemctl")[-1] == "systemctl start docker.service"
    assert "systemctl daemon-reload" not in bench.calls()


def test_apply_asks_apt_nothing_on_an_image_of_ours(bench: Bench, tmp_path: Path) -> None:
    (bench.home / "etc/rackwright").mkdir()
    (bench.home / "etc/rackwright/installed.json").write_text("{}")
    assert install(bench, bundle(tmp_path / "bundle.tar", {"a.deb": b"a"})).returncode == 0
    assert bench.calls("apt-get") == []


def test_packages_that_do_not_fit_a_borrowed_machine_are_not_unpacked(
    bench: Bench, tmp_path: Path
) -> None:
    bench.answer("apt-get", "*", code=100)
    done = install(bench, bundle(tmp_path / "bundle.tar", {"a.deb": b"a"}))
    assert done.returncode == 1
    assert "do not fit" in done.stderr
    assert bench.calls("dpkg") == []


def test_apply_waits_for_another_package_manager(bench: Bench, tmp_path: Path) -> None:
    bench.answer("dpkg", "*", "dpkg: frontend lock was locked by another process", code=2, times=3)
    assert install(bench, bundle(tmp_path / "b.tar", {"a.deb": b"a"})).returncode == 0
    assert len(bench.calls("sleep")) == 3
    bench.answer("dpkg", "*", "dpkg: error processing archive", code=1)
    bench.tables["dpkg"] = []
    bench.answer("dpkg", "*", "dpkg: error processing archive", code=1)
    failed = bench.run(ROLE, "install/apply.sh", files={"bundle": str(tmp_path / "b.tar")})
    assert (failed.returncode, "error processing" in failed.stderr) == (1, True)


def test_the_packages_scripts_neither_start_docker_nor_reload_systemd(
    bench: Bench, tmp_path: Path
) -> None:
    """The stand-in that comes first in PATH while dpkg runs."""
    fake = bench.home / "bin/dpkg"
    path = bundle(tmp_path / "b.tar", {"a.deb": b"a"})
    bench.answer("dpkg", "*")
    fake.write_text(
        "#!/bin/sh\nsystemctl --system daemon-reload\n"
        "systemctl --quiet --system start docker.service\nsystemctl stop old.service\n"
    )
    fake.chmod(0o755)
    systemd(bench, active=False)
    bench.answer("apt-get", "*")
    bench.answer("docker", INFO, about("20.10.24"))
    done = bench.run(ROLE, "install/apply.sh", files={"bundle": str(path)})
    assert done.returncode == 0, done.stderr
    calls = bench.calls("systemctl")
    assert "systemctl stop old.service" in calls
    assert not [c for c in calls if "daemon-reload" in c or "--system start" in c]


@pytest.mark.parametrize(
    ("files", "sums", "says"),
    [
        ({"a.deb": b"evil"}, {"a.deb": b"good"}, "not what its SHA256SUMS says"),
        ({"a.deb": b"a", "b.deb": b"b"}, {"a.deb": b"a"}, "does not name"),
        ({"../a.deb": b"a"}, None, "holds a path"),
        ({"/etc/a.deb": b"a"}, None, "holds a path"),
        ({"a.sh": b"a"}, None, "which is no package"),
    ],
)
def test_bundle_that_is_not_what_it_says_is_refused(
    bench: Bench,
    tmp_path: Path,
    files: dict[str, bytes],
    sums: dict[str, bytes] | None,
    says: str,
) -> None:
    done = install(bench, bundle(tmp_path / "bundle.tar", files, sums))
    assert done.returncode == 1
    assert says in done.stderr
    assert bench.calls("apt-get") == []
