"""Content laid over ours whose stages run on the controller: whole runs without a machine.

Files in ``world`` steer the scripts: ``hold`` makes an apply wait, ``fail-NAME`` makes it fail.
"""

from pathlib import Path

ROLE = """\
description: Steps on the controller.
params:
  type: object
  additionalProperties: false
  required: [dir]
  properties: {dir: {type: string}, leaving: {type: array, default: []}}
stages:
  make: {executor: local, check: check.sh, apply: apply.sh, verify: verify.sh, timeout: 60s}
  seal: {executor: local, check: check.sh, apply: apply.sh, verify: verify.sh, timeout: 60s}
"""
CHECK = """\
test -e {{ params.dir | q }}/{{ machine.name | q }}.{{ stage | q }} || exit 10
"""
APPLY = """\
dir={{ params.dir | q }}
if test -e "$dir/fail-"{{ machine.name | q }}; then echo "no luck" >&2; exit 1; fi
while test -e "$dir/hold"; do sleep 0.05; done
touch "$dir/"{{ machine.name | q }}.{{ stage | q }}
"""
VERIFY = """\
echo '{"made": true}'
"""
WORKFLOW = """\
groups: {{workers: {{from: pools.workers}}}}
stages:
  make: {{use: test/steps#make, on: all, params: {{dir: {world}}}}}
  seal: {{use: test/steps#seal, on: all, params: {{dir: {world}}}, needs: [make]}}
"""
ERASING = """\
groups: {{workers: {{from: pools.workers}}}}
stages:
  make: {{use: test/steps#make, on: all, params: {{dir: {world}}}, destructive: disk}}
"""
LEAVING = """\
groups:
  workers: {{from: pools.workers, quorum: true}}
  leaving: {{from: pools.leaving, leaves: true}}
stages:
  gone: {{use: test/steps#make, on: leaving, params: {{dir: {world}}}}}
  told: {{use: test/steps#make, on: workers.one, params: {{dir: {world}}},
         needs: [{{stage: gone, wait: settled}}]}}
"""
SPEC = """\
cluster: {cluster}
workflow: {workflow}
pools: {{workers: {{count: {count}, selector: "{selector}"}}}}
"""


def write_content(root: Path, world: Path) -> None:
    """The overlay under ``root``; its scripts look into ``world``."""
    role = root / "roles" / "test" / "steps"
    role.mkdir(parents=True)
    world.mkdir()
    (role / "role.yaml").write_text(ROLE)
    for name, text in (("check", CHECK), ("apply", APPLY), ("verify", VERIFY)):
        (role / f"{name}.sh").write_text(text)
    workflows = root / "workflows"
    workflows.mkdir()
    (workflows / "steps.yaml").write_text(WORKFLOW.format(world=world))
    (workflows / "steps-leave.yaml").write_text(LEAVING.format(world=world))
    (workflows / "erasing.yaml").write_text(ERASING.format(world=world))
