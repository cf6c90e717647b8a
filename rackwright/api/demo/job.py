"""The demo's course: what an operator would type, in order, against the virtual rack.

The product sees the rack only as the enrolment file: addresses, credentials, MACs.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from rackwright.api.cli import output
from rackwright.api.cli.client import Client, connect, is_live
from rackwright.api.cli.execute import apply_plan, print_plan
from rackwright.api.cli.machine import all_machines
from rackwright.api.demo import evidence
from rackwright.api.doctor.probes import Probes
from rackwright.api.settings import Settings
from rackwright.api.wiring.rack import is_up, namespace_of, require_room
from rackwright.engine.images import build as images
from rackwright.lab import rack as racks
from rackwright.lab.spec import RackSpec

ARTIFACTS = ("ramdisk", "image/debian-12", "bundle/docker-debian-12", "workload/busybox")
OWNER_START_S = 60.0
RACK_NAME = "demo"  # beside a rack that `rackwright lab up` made


class DemoError(Exception):
    """The demo cannot go on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DemoJob:
    """One run of the demo. ``home`` holds the rack, the data directory and the evidence."""

    def __init__(
        self,
        *,
        home: Path,
        artifacts: Path,
        keep: bool,
        rack: Path | None,
        spec: Path | None,
        probes: Probes | None = None,
    ) -> None:
        self.home = home
        self.lab_dir = home / "lab"
        self.settings = Settings(
            data_dir=home / "data", artifacts_dir=artifacts, image_variant="virtual"
        )
        self.keep = keep
        self.rack = rack
        self.spec = spec
        self._probes = probes
        self._began = time.monotonic()

    def run(self) -> int:
        """The exit code: 0 when every machine is proved."""
        kept = is_up(self.lab_dir)
        if not kept:
            require_room(self._rack_spec(), self.lab_dir, probes=self._probes)
        self.home.mkdir(parents=True, exist_ok=True)
        self._build_images()
        try:
            if not kept:
                racks.down(self.lab_dir, report=output.note)  # what a crash left
                self._rack_machines()
            with self._owner(), connect(self.settings) as client:
                return self._provision(client)
        finally:
            if not self.keep:
                self._step("taking the rack down")
                racks.down(self.lab_dir, report=output.note)
                shutil.rmtree(self.settings.data_dir, ignore_errors=True)

    def _build_images(self) -> None:
        self._step("building the ramdisk and the OS image (cached when nothing changed)")
        self.settings.artifacts.mkdir(parents=True, exist_ok=True)
        for name in ARTIFACTS:
            images.build(name, variant="virtual", store=self.settings.artifacts, report=output.note)

    def _rack_machines(self) -> None:
        # A data directory without its rack is of no use to a new one.
        shutil.rmtree(self.settings.data_dir, ignore_errors=True)
        self._step("racking three virtual servers, each with its own BMC")
        state = racks.up(self._rack_spec(), self.lab_dir, report=output.note)
        racks.enrolment_yaml(state)

    def _rack_spec(self) -> RackSpec:
        """Under its own name, so that its namespace is not the one of `rackwright lab up`."""
        spec = racks.load_rack(self.rack)
        return replace(spec, name=RACK_NAME) if self.rack is None else spec

    @contextlib.contextmanager
    def _owner(self) -> Iterator[None]:
        """The controller, inside the rack's network."""
        namespace = namespace_of(self.lab_dir)
        log = self.home / "controller.log"
        command = [
            "ip", "netns", "exec", namespace,
            sys.executable, "-m", "rackwright",
            "--data-dir", str(self.settings.data_dir),
            "--artifacts-dir", str(self.settings.artifacts),
            "serve",
        ]  # fmt: skip
        environment = {**os.environ, "RACKWRIGHT_IMAGE_VARIANT": self.settings.image_variant}
        with log.open("ab") as stream:
            child = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        try:
            self._wait_for_owner(child, log)
            yield
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()

    def _wait_for_owner(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        deadline = time.monotonic() + OWNER_START_S
        while not is_live(self.settings):
            if child.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").splitlines()[-5:]
                raise DemoError("the controller did not start: " + " / ".join(last), f"see {log}")
            time.sleep(0.1)

    def _provision(self, client: Client) -> int:
        self._step("enrolling what an operator knows: BMC addresses, credentials, MACs")
        enrolment = self.lab_dir / "enrolment.yaml"
        client.post(
            "/v1/machines/enrol",
            {"text": enrolment.read_text(), "filename": str(enrolment), "format": "yaml"},
        )
        self._discover(client)
        self._release(client)
        self._step("planning")
        spec = self._spec_path()
        plan = client.post(
            "/v1/plans", {"kind": "cluster", "spec": spec.read_text(), "filename": str(spec)}
        )
        print_plan(plan)
        self._step("applying the plan")
        final = apply_plan(client, plan, yes=True, erase_accepted=True)
        return self._show(client, final)

    def _discover(self, client: Client) -> None:
        unknown = [m["name"] for m in all_machines(client) if m["state"] == "enrolled"]
        if not unknown:
            return
        self._step(f"discovering {', '.join(unknown)}: power, network boot, ramdisk, hardware")
        plan = client.post("/v1/plans", {"kind": "discover", "machines": unknown})
        final = apply_plan(client, plan, yes=True, erase_accepted=False)
        if final["status"] != "succeeded":
            raise DemoError(f"discovery {final['status']}", "see the failures above")

    def _release(self, client: Client) -> None:
        for row in all_machines(client, state="discovered"):
            machine = client.get(f"/v1/machines/{row['name']}")
            held = [d for d in machine["drives"] if d["has_data"]]
            what = ", ".join(f"{d['serial']} holds {output.cell(d['signatures'])}" for d in held)
            self._step(f"releasing {row['name']} as its operator would: {what}")
            client.post(
                f"/v1/machines/{row['name']}/release", {"accept": [d["serial"] for d in held]}
            )

    def _spec_path(self) -> Path:
        if self.spec is not None:
            return self.spec
        path = self.home / "cluster.yaml"
        built_in = resources.files("rackwright.api.demo") / "cluster.yaml"
        path.write_text(built_in.read_text(encoding="utf-8"), encoding="utf-8")
        return path

    def _show(self, client: Client, final: dict[str, Any]) -> int:
        tasks = client.get(f"/v1/runs/{final['id']}/tasks")["items"]
        names = {task["machine"] for task in tasks}
        machines = [
            client.get(f"/v1/machines/{row['name']}")
            for row in all_machines(client)
            if row["name"] in names
        ]
        rows = evidence.collect(machines, tasks)
        report = self.home / "evidence.json"
        took_s = time.monotonic() - self._began
        missing = evidence.problems(rows)
        document = {
            "run": final["id"],
            "status": final["status"],
            "counts": final["counts"],
            "took_s": round(took_s, 1),
            "missing": missing,
            "machines": rows,
        }
        report.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        for row in rows:
            output.out.print()
            output.print_fields(row, evidence.COLUMNS)
        output.out.print(f"\n{final['counts']['changed']} changed in {output.duration(took_s)}")
        output.out.print(f"evidence: {report}")
        for problem in missing:
            output.fail(problem)
        if self.keep:
            self._say_how_to_go_on()
        return 0 if final["status"] == "succeeded" and not missing else 1

    def _say_how_to_go_on(self) -> None:
        lab, data = self.lab_dir, self.settings.data_dir
        output.note(f"the rack is kept; look around: rackwright --data-dir {data} machine list")
        output.note(f"inside its network: rackwright lab exec --dir {lab} -- COMMAND")
        output.note(f"take it down: rackwright lab down --dir {lab}")

    def _step(self, what: str) -> None:
        took = output.duration(time.monotonic() - self._began)
        output.err.print(f"[bold cyan]{took:>6}[/] {what}")
