"""What earlier controllers of a run committed and a later one must know before it acts."""

from rackwright.engine.executors.scope import Journaled, JournaledPlay
from rackwright.engine.run.ports import RunView


def journaled(view: RunView) -> Journaled:
    """Secrets not yet revoked, erasures begun, playbooks started."""
    unrevoked: dict[str, set[str]] = {}
    for intent in view.intents("mint"):
        unrevoked.setdefault(str(intent.detail["stage"]), set()).add(str(intent.detail["secret"]))
    for intent in view.intents("revoked"):
        unrevoked.get(str(intent.detail["stage"]), set()).discard(str(intent.detail["secret"]))
    erased: dict[int, dict[int, str]] = {}
    for intent in view.intents("erase"):
        boot_id = str(intent.detail.get("boot_id") or "")
        erased.setdefault(intent.task, {})[intent.attempt] = boot_id
    plays: dict[int, tuple[JournaledPlay, ...]] = {}
    for intent in view.intents("ansible"):
        play = JournaledPlay(
            attempt=intent.attempt,
            phase=str(intent.detail["phase"]),
            marker=str(intent.detail["marker"]),
            pid=int(str(intent.detail["pid"])),
            started=int(str(intent.detail["started"])),
            boot_id=str(intent.detail["boot_id"]),
        )
        plays[intent.task] = (*plays.get(intent.task, ()), play)
    return Journaled(
        unrevoked={stage: frozenset(names) for stage, names in unrevoked.items() if names},
        erase_attempts=erased,
        plays=plays,
    )
