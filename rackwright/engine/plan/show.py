"""A plan as tables of text: what an operator reads before accepting it. Renders nothing itself.

Cells hold what machines reported (models, serials): whoever renders them escapes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rackwright.engine.content.quantities import size_text
from rackwright.engine.plan.model import NOT_APPLICABLE, Erasure, Need, Plan, PlannedStage


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = "none"  # what to say when there are no rows


@dataclass(frozen=True, slots=True)
class Summary:
    """``facts`` are name and value; ``warnings`` stand out."""

    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    warnings: tuple[str, ...]


def summarise(plan: Plan) -> Summary:
    """Machines and why, disks to be erased, stages with brakes, content hashes, estimate."""
    reboots = sum(m.reboots for m in plan.machines)
    facts = (
        ("plan", plan.digest),
        ("kind", plan.kind),
        ("workflow", plan.workflow),
        ("cluster", plan.cluster or "none"),
        ("cluster id", plan.cluster_id or "to be formed" if plan.cluster else "none"),
        *_chain(plan),
        ("machines", str(len(plan.machines))),
        ("disks to be erased", str(len(plan.erasures))),
        ("reboots", str(reboots)),
        ("content", plan.content_digest),
        ("estimate", duration_text(plan.estimate_s)),
    )
    tables = (
        Table(
            "Machines",
            ("machine", "pool", "why", "expected", "reboots"),
            tuple(_machine_rows(plan)),
        ),
        Table(
            "Disks to be erased",
            ("machine", "serial", "wwn", "model", "size", "holds", "why", "erasures at most"),
            tuple(_erasure_rows(plan)),
            "no disk is erased",
        ),
        Table(
            "Stages",
            ("stage", "does", "on", "needs", "waves", "erases", "waits for"),
            tuple(_stage_row(s) for s in plan.stages),
        ),
        *_windows(plan),
        *_limits(plan),
        Table("Artifacts", ("artifact", "digest"), tuple(sorted(plan.artifacts.items()))),
        Table(
            "Content",
            ("file", "from", "sha256"),
            tuple((p, *_split(stamp)) for p, stamp in sorted(plan.content.items())),
        ),
    )
    return Summary(facts, tables, tuple(_warnings(plan)))


def duration_text(seconds: float) -> str:
    """About how long, for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def waves_text(stage: PlannedStage) -> str:
    """The brakes in words; 'none' where that was written."""
    if stage.waves is None:
        return "none, as written" if stage.waves_from == "none" else ""
    parts = []
    if stage.waves.canary:
        parts.append(f"canary {stage.waves.canary}")
    if stage.waves.max_parallel:
        parts.append(f"{stage.waves.max_parallel} at a time")
    if stage.waves.halt_at_failures:
        parts.append(f"halt at {stage.waves.halt_at_failures} failures")
    suffix = " (default)" if stage.waves_from == "default" else ""
    return ", ".join(parts) + suffix


def _machine_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    conditions = {stage.name: stage.when for stage in plan.stages}
    for machine in plan.machines:
        by_word: dict[str, list[str]] = {}
        for stage, word in machine.expected.items():
            if word == NOT_APPLICABLE[1]:
                word = f"{word} {conditions[stage]}"  # noqa: PLW2901
            by_word.setdefault(word, []).append(stage)
        expected = "; ".join(f"{word}: {', '.join(names)}" for word, names in by_word.items())
        if machine.origin == "existing" and "not applicable" in by_word:
            expected += " (it came with an OS)"
        pools = ", ".join(machine.pools)
        yield (machine.name, pools, machine.why, expected, str(machine.reboots))


def _erasure_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    names = {m.id: m.name for m in plan.machines}
    for erasure in plan.erasures:
        yield (
            names.get(erasure.machine_id, erasure.machine_id),
            erasure.drive_serial,
            erasure.drive_wwn,
            erasure.drive_model,
            size_text(erasure.size_bytes),
            held_text(erasure),
            erasure.reason,
            str(erasure.attempts),
        )


def held_text(erasure: Erasure) -> str:
    """What the ramdisk found on the disk."""
    return ", ".join(erasure.signatures) or "nothing found"


def _stage_row(stage: PlannedStage) -> tuple[str, ...]:
    on = stage.group if stage.pick == "all" else f"{stage.group}.{stage.pick}"
    needs = ", ".join(_need_text(n) for n in stage.needs)
    does = f"{stage.role}#{stage.role_stage}"
    return (
        stage.name,
        does,
        on,
        needs,
        waves_text(stage),
        stage.destructive or "",
        holds_text(stage),
    )


def holds_text(stage: PlannedStage) -> str:
    """What its full attempts wait for besides other stages."""
    approval = f"approval: {stage.approve}" if stage.approve else ""
    if stage.approve_deadline_s:
        approval += f" (refused after {duration_text(stage.approve_deadline_s)})"
    window = ", ".join(f"window {name}" for name in stage.windows)
    return "; ".join(filter(None, (approval, window)))


def _need_text(need: Need) -> str:
    match need.wait:
        case "same":
            return need.stage
        case "count":
            return f"{need.amount} of {need.stage}"
        case "percent":
            return f"{need.amount}% of {need.stage}"
        case "all":
            return f"all of {need.stage}"
        case "settled":
            return f"{need.stage} settled"


def _chain(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.parent:
        yield "supplement of", plan.parent
    if plan.target is not None:
        yield "then", f"cluster {plan.target.cluster} by {plan.target.filename}"
        yield "which", plan.target.rule


def _limits(plan: Plan) -> Iterator[Table]:
    """By kind and capacity: a fleet has a BMC a machine."""
    counts: dict[tuple[str, str], list[str]] = {}
    for name, capacity in plan.limits.items():
        low, high = plan.adaptive.get(name, (capacity, capacity))
        shown = str(capacity) if low == high else f"{capacity}, adapts itself from {low} to {high}"
        counts.setdefault((name.partition(":")[0], shown), []).append(name)
    rows = tuple(
        (names[0] if len(names) == 1 else f"{kind} ({len(names)})", shown)
        for (kind, shown), names in counts.items()
    )
    if rows:
        yield Table("Limits", ("limit", "at once"), rows)


def _windows(plan: Plan) -> Iterator[Table]:
    if plan.windows:
        yield Table("Windows", ("window", "open", "holds"), tuple(_window_rows(plan)))


def _window_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for name, texts in plan.windows.items():
        stages = [stage.name for stage in plan.stages if name in stage.windows]
        machines = sum(1 for machine in plan.machines if name in machine.windows)
        held = ", ".join(stages) or f"what erases {machines} machine(s)"
        yield (name, " or ".join(texts), f"{held}, and the means to it")


def _split(stamp: str) -> tuple[str, str]:
    origin, _, sha256 = stamp.rpartition(":")
    return origin, sha256


def _warnings(plan: Plan) -> Iterator[str]:
    for stage in plan.stages:
        if stage.waves_from == "none" and stage.destructive:
            yield f"stage {stage.name} erases disks without waves: 'waves: none' is written"
    holding = [e for e in plan.erasures if e.signatures]
    if holding:
        yield f"{len(holding)} of the disks to be erased hold data"
    if plan.erasures and len(plan.erasures) == len(plan.machines) and plan.cluster_id:
        yield "every machine of an existing cluster is erased"
