"""Brakes: waves resolved against the machines of a stage. Destruction has them by default."""

from rackwright.engine.content.quantities import Amount
from rackwright.engine.content.workflow import WavesSpec
from rackwright.engine.plan.model import Waves

_DEFAULT_PARALLEL = Amount(10, is_percent=True)
_DEFAULT_HALT = Amount(5, is_percent=True)
_LEAST_HALT = 2  # a percentage of failures: one machine's failure is no rate


def resolve_waves(
    written: WavesSpec | None, from_spec: WavesSpec | None, *, is_destructive: bool, machines: int
) -> tuple[Waves | None, str]:
    """The brakes and where they are from: workflow, spec, default, none (written), or ''.

    Percentages round up, to at least 1; a percentage of failures to at least 2. A destructive
    stage keeps the default of every brake that is not set, unless ``none`` was written.
    """
    asked = from_spec if written is None or from_spec is None else written.overlaid(from_spec)
    if asked is None:
        asked = written
    source = "spec" if from_spec is not None else "workflow" if written is not None else "default"
    if asked is not None and asked.is_none:
        return None, "none"
    if asked is None and not is_destructive:
        return None, ""
    canary = asked.canary if asked is not None else None
    parallel = asked.max_parallel if asked is not None else None
    halt = asked.halt_at_failures if asked is not None else None
    if is_destructive:
        canary = canary if canary is not None else Amount(1)
        parallel = parallel if parallel is not None else _DEFAULT_PARALLEL
        halt = halt if halt is not None else _DEFAULT_HALT
    waves = Waves(
        canary=min(canary.of(machines), machines) if canary is not None else 0,
        max_parallel=parallel.of(machines) if parallel is not None else 0,
        halt_at_failures=halt.of(machines, minimum=_LEAST_HALT) if halt is not None else 0,
    )
    return waves, source
