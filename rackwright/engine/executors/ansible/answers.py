"""From a machine's report to a move or a verdict. Decides, and does no I/O.

Only a report that says so satisfies or refutes; all else is no answer, and never leads to apply.
"""

from collections.abc import Mapping

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.ansible.report import Ending, HostReport
from rackwright.engine.executors.pool import HostKeyError
from rackwright.engine.executors.steps import EVIDENCE_BYTES, Answer, Verdict, canonical
from rackwright.engine.plan.model import PlannedStage
from rackwright.engine.schedule.events import Result

NO_REPORT = "it reported nothing by set_stats (per_host: true, key rackwright)"


def reached(report: HostReport, machine: str) -> HostReport:
    """The report of a machine that answered. Raises ``HostKeyError``, ``UnreachableError``."""
    if report.ending is not Ending.UNREACHABLE:
        return report
    if "Host key verification failed" in report.message:
        raise HostKeyError(
            f"the host key of {machine} is not the one on record: {report.message}",
            hint="find out which machine answers there before anything is run on it",
        )
    raise UnreachableError(f"no answer by SSH from {machine}: {report.message}")


def of_check(report: HostReport) -> tuple[Answer, str]:
    """The three-valued answer and why."""
    if report.ending is not Ending.DONE:
        return Answer.UNKNOWN, report.message
    if report.stats is None:
        return Answer.UNKNOWN, NO_REPORT
    match report.stats.get("status"):
        case "satisfied":
            return Answer.SATISFIED, _why(report.stats)
        case "unsatisfied":
            return Answer.UNSATISFIED, _why(report.stats)
        case other:
            return Answer.UNKNOWN, f"its status is neither satisfied nor unsatisfied: {other!r:.60}"


def after_apply(report: HostReport) -> Verdict | None:
    """None: go on to verify."""
    if report.ending is Ending.DONE:
        return None
    if report.ending is Ending.FAILED:
        return Verdict(Result.FAILED, f"apply failed: {report.message}")
    why = f"apply's outcome is unknown, the next attempt checks: {report.message}"
    return Verdict(Result.FAILED, why)


def after_verify(
    stage: PlannedStage, report: HostReport, *, changed: bool, checked: bool
) -> Verdict:
    """``checked``: a check said satisfied just before."""
    if report.ending is Ending.FAILED:
        return Verdict(Result.FAILED, f"verify failed: {report.message}")
    answer, why = of_check(report)
    if answer is Answer.UNKNOWN:
        result = Result.FAILED if changed else Result.UNKNOWN
        return Verdict(result, f"verify proves nothing: {why}")
    if answer is Answer.UNSATISFIED:
        how = "verify refutes check" if checked else "verify failed"
        return Verdict(Result.FAILED, f"{how}: {why or 'no reason given'}")
    stats = report.stats or {}
    evidence = stats.get("evidence")
    if not isinstance(evidence, Mapping):
        return Verdict(Result.FAILED, "verify reported no evidence: it proves nothing")
    given = stats.get("outputs")
    outputs = {**evidence, **given} if isinstance(given, Mapping) else dict(evidence)
    if missing := [name for name in stage.outputs if name not in outputs]:
        return Verdict(Result.FAILED, f"verify's report lacks outputs: {', '.join(missing)}")
    kept = {name: outputs[name] for name in stage.outputs}
    encoded = canonical({**evidence, **kept})
    if len(encoded) > EVIDENCE_BYTES:
        return Verdict(Result.FAILED, f"verify's evidence is over {EVIDENCE_BYTES} bytes")
    result = Result.CHANGED if changed else Result.SATISFIED
    return Verdict(result, "", encoded, kept or None)


def _why(stats: Mapping[str, object]) -> str:
    why = stats.get("why", "")
    if not why and isinstance(evidence := stats.get("evidence"), Mapping):
        why = evidence.get("why", "")
    return str(why)[:500]
