"""A data directory with content over ours, driven by the CLI in this process or by a client."""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rackwright.api.cli.client import Client, connect
from rackwright.api.cli.main import app
from rackwright.api.cli.session import run_guarded
from rackwright.api.owner.thread import OwnerThread
from rackwright.api.settings import Settings
from tests.integration.api import content

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcgXYyuFRzqBCCzW8LwE/ewkEMJjNxYxXQTFpTd0REA"
MACHINES = f"""\
machines:
- {{name: a, labels: {{role: x}}, ssh: {{address: 192.0.2.1, user: root, host_key: {HOST_KEY}}}}}
- {{name: b, labels: {{role: x}}, ssh: {{address: 192.0.2.2, user: root, host_key: {HOST_KEY}}}}}
"""
WITHIN_S = 120.0  # much is run beside on small machines


@dataclass(frozen=True, slots=True)
class Done:
    """What a call of the CLI left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Controller:
    """``home`` gets the data directory, the content and the scripts' world."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.content = home / "content"
        self.world = home / "world"
        content.write_content(self.content, self.world)

    @property
    def settings(self) -> Settings:
        return Settings.load(data_dir=self.data, content=(self.content,))

    def run(self, *args: str | Path, stdin: str = "") -> Done:
        """The CLI in this process; it has no terminal."""
        flags = ["--data-dir", str(self.data), "--content", str(self.content)]
        return rackwright(*flags, *map(str, args), stdin=stdin)

    def ok(self, *args: str | Path, stdin: str = "") -> Done:
        done = self.run(*args, stdin=stdin)
        assert done.code == 0, done.err
        return done

    @contextlib.contextmanager
    def owner(self) -> Iterator[Client]:
        """A live owner, and a client of it."""
        with OwnerThread(self.settings), connect(self.settings) as client:
            yield client

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the live owner; without one it becomes the owner."""
        with connect(self.settings) as client:
            yield client

    def enrol(self, text: str = MACHINES) -> None:
        self.ok("machine", "enrol", self.file("machines.yaml", text))

    def file(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path

    def spec(
        self,
        *,
        workflow: str = "steps",
        count: int = 2,
        selector: str = "role=x",
        cluster: str = "c",
    ) -> Path:
        text = content.SPEC.format(
            workflow=workflow, count=count, selector=selector, cluster=cluster
        )
        return self.file(f"{cluster}-{workflow}.yaml", text)

    def hold(self) -> None:
        """Every apply waits from here on."""
        (self.world / "hold").touch()

    def go_on(self) -> None:
        (self.world / "hold").unlink()

    def fail(self, machine: str) -> Path:
        path = self.world / f"fail-{machine}"
        path.touch()
        return path


def plan_of(client: Client, spec: Path) -> dict[str, Any]:
    body = {"kind": "cluster", "spec": spec.read_text(), "filename": str(spec)}
    plan: dict[str, Any] = client.post("/v1/plans", body)
    return plan


def start(client: Client, plan: Mapping[str, Any]) -> str:
    """The id of the run."""
    body = {"plan_digest": plan["digest"], "accept": plan["digest"]}
    return str(client.post("/v1/runs", body)["id"])


def until(is_so: Callable[[], bool]) -> None:
    """Wait for another thread or process; there is no event to wait on across them."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def until_status(client: Client, run: str, *wanted: str) -> dict[str, Any]:
    until(lambda: client.get(f"/v1/runs/{run}")["status"] in wanted)
    found: dict[str, Any] = client.get(f"/v1/runs/{run}")
    return found


def rackwright(*args: str, stdin: str = "") -> Done:
    """One call of the command, as its entry point makes it."""
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = run_guarded(lambda: app(list(args), prog_name="rackwright"))
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdin = before
    return Done(int(code), out.getvalue(), err.getvalue())
