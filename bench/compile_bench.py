"""How long a plan of 200 stages x 10,000 machines takes, and how fast hostile YAML is refused.

Run: python bench/compile_bench.py. Prints one JSON line per measurement; asserts nothing.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rackwright.engine.content.errors import ContentError, ContentErrors, Problems
from rackwright.engine.content.library import Library
from rackwright.engine.content.workflow import parse_workflow
from rackwright.engine.content.yaml_source import parse
from rackwright.engine.plan.codec import plan_from_json, plan_to_json
from rackwright.engine.plan.compile import compile_plan
from rackwright.engine.plan.graph import stage_graph
from rackwright.engine.plan.spec import parse_spec
from tests.unit.engine.plan.rack import ARTIFACTS, CASES, machine, select

SPEC = """\
cluster: big
workflow: big
pools:
  managers: {{count: 5, selector: "role=manager"}}
  workers: {{count: {workers}, selector: ""}}
"""


def workflow_of(need: Callable[[int], str]) -> str:
    rows = (f"  s{i}: {{use: a/b, on: all, needs: [{need(i)}]}}\n" for i in range(990))
    return "stages:\n" + "".join(rows)


HOSTILE = {
    "alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "100,000 nodes": "stages:\n" + "".join(f"  s{i}: {{}}\n" for i in range(50_000)),
    "deep flow": "[" * 50_000,
    "deep block": "".join("  " * i + "a:\n" for i in range(700)),
    "deep keys": "? " * 100_000,
    "cycle": "a: &a {b: *a}\n",
    "tag": "a: !!python/object/apply:os.system [id]\n",
    "large scalar": "a: " + "x y " * 260_000,
    "blank lines": "a:\n" + "\n" * 1_000_000 + " b",
    "comments": "# x\n" * 260_000,
    "quoted escapes": 'a: "' + "\\x41" * 250_000 + '"',
    "literal": "a: |\n" + "  x\n" * 260_000,
    "cycle of 990 stages": workflow_of(lambda i: f"s{(i + 1) % 990}"),
    "unknown needs": workflow_of(lambda i: f"{'sx' * 40}{i}"),
    "2 MiB": "a: 1\n" * 500_000,
}


def big_workflow(stages: int) -> str:
    lines = [
        "groups: {managers: {from: pools.managers}, workers: {from: pools.workers}}",
        "stages:",
    ]
    lines.append("  netboot: {use: hardware/netboot, on: all, means_to: [install]}")
    lines.append("  install: {use: os/image, on: all, needs: [netboot], destructive: disk}")
    before = "install"
    for index in range(stages - 2):
        needs = f"{{stage: {before}, wait: 90%}}" if index % 10 == 9 else before
        lines.append(f"  s{index}: {{use: runtime/docker, on: all, needs: [install, {needs}]}}")
        before = f"s{index}"
    return "\n".join(lines) + "\n"


def timed(name: str, call: Callable[[], object]) -> object:
    start = time.perf_counter()
    found = call()
    seconds = round(time.perf_counter() - start, 3)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"measure": name, "seconds": seconds, "peak_rss_mib": rss}))
    return found


def refused(text: str) -> None:
    try:
        if text.startswith("stages:"):
            problems = Problems()
            stage_graph(parse_workflow("hostile", text, "hostile.yaml"), problems)
            problems.check()
        parse(text, "hostile.yaml")
    except (ContentError, ContentErrors):
        return
    print(json.dumps({"warning": "was read"}))


def main(stages: int = 200, count: int = 10_000) -> None:
    machines = [
        machine(i, labels={"role": "manager" if i <= 5 else "worker"}) for i in range(1, count + 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        workflows = Path(folder) / "workflows"
        workflows.mkdir()
        (workflows / "big.yaml").write_text(big_workflow(stages))
        plan = timed(
            f"compile {stages} stages x {count} machines",
            lambda: compile_plan(
                library=Library((CASES / "base", Path(folder))),
                spec=parse_spec(SPEC.format(workers=count - 5), "spec.yaml"),
                machines=machines,
                select=select,
                artifacts=ARTIFACTS,
            ),
        )
    text = timed("to JSON", lambda: json.dumps(plan_to_json(plan)))  # type: ignore[arg-type]
    print(json.dumps({"measure": "JSON", "bytes": len(str(text))}))
    timed("from JSON", lambda: plan_from_json(json.loads(str(text))))
    for name, hostile in HOSTILE.items():
        timed(f"refuse {name}", lambda hostile=hostile: refused(hostile))  # type: ignore[misc]


if __name__ == "__main__":
    main()
