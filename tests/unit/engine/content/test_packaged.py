"""The scripts that ship with the product render with what executors give, and bash reads them."""

import asyncio
import subprocess
from dataclasses import asdict

from rackwright.engine.content.library import Library
from rackwright.engine.content.render import Renderer
from rackwright.engine.executors.context import machine_values
from rackwright.engine.plan.model import Plan, PlannedStage
from tests.unit.engine.plan.rack import SPEC, machine, plan_of

MEMBER = {
    **{"machine": "n1", "hostname": "n1", "node_state": "inactive", "node_id": "x"},
    **{"cluster_id": "c", "manager_addr": "10.0.0.1:2377", "role": "manager", "boot_id": "b"},
}
FILE = {"url": "http://10.77.0.1/f", "sha256": "a" * 64, "size_bytes": 1}


def context_of(plan: Plan, stage: PlannedStage, *, installing: bool) -> dict[str, object]:
    outputs = {
        name: {**values, "by_machine": {"n1": values}}
        for name, values in (("init", MEMBER), ("prepare", MEMBER), ("proof", {"nonce": "z"}))
    }
    installed = {"install_id": "i", "image_digest": "d", "drive_serial": "s", "generation": 1}
    return {
        "params": dict(stage.params),
        "machine": machine_values(machine(1), "10.77.0.1"),
        "erase": asdict(plan.erasures[0]) if installing else None,
        "installed": None if installing else {**installed, "os": "debian 12"},
        "cluster": {"name": "demo", "id": ""},
        "run": {"id": "r1"},
        "stage": stage.name,
        "attempt": 1,
        "outputs": outputs,
        "files": {name: f"/run/rackwright/{name}" for name in stage.files},
        "artifacts": {
            name: {
                **FILE,
                "digest": digest,
                "files": {"rootfs.ext4.zst": FILE, "image.json": FILE},
            }
            for name, digest in plan.artifacts.items()
        },
        "controller": {"url": "http://10.77.0.1:8480", "address": "10.77.0.1"},
        "ssh": {"authorized_key": "ssh-ed25519 A", "host_certificate": "cert"},
    }


def test_every_script_of_our_swarm_renders_and_is_bash() -> None:
    library = Library.over_packaged()
    machines = [machine(i) for i in range(1, 4)]
    plan = plan_of(machines, SPEC[: SPEC.index("params:")], library)

    async def run() -> dict[str, str]:
        found = {}
        async with Renderer() as renderer:
            for stage in plan.stages:
                paths = {*stage.scripts.values()}
                for secret in stage.secrets.values():
                    paths |= {path for path in (secret.mint, secret.revoke) if path}
                for path in sorted(paths):
                    file = library.file(f"roles/{stage.role}/{path}")
                    for installing in (True, False):
                        context = context_of(plan, stage, installing=installing)
                        text = await renderer.render(file.shown, file.data.decode(), context)
                        found[f"{stage.name} {path} {installing}"] = text
        return found

    rendered = asyncio.run(run())
    assert len(rendered) > 30
    for name, text in rendered.items():
        done = subprocess.run(
            ["bash", "-n"], input=text, text=True, capture_output=True, check=False, timeout=20
        )
        assert (done.returncode, done.stderr) == (0, ""), name
