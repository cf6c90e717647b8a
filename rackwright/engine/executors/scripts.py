"""From a role's script to the text that runs: chosen by family, rendered, the prelude before it."""

import shlex
from collections.abc import Mapping, Sequence

from rackwright.engine.executors.scope import Scope, Subject
from rackwright.engine.executors.shell.base import script
from rackwright.engine.plan.model import PlannedStage


def chosen(stage: PlannedStage, kind: str, families: Sequence[str]) -> str | None:
    """The path of the stage's check, apply or verify for a machine of these OS families."""
    for family in families:
        if path := stage.scripts.get(f"{kind}@{family}"):
            return path
    return stage.scripts.get(kind)


def has(stage: PlannedStage, kind: str) -> bool:
    return any(key.partition("@")[0] == kind for key in stage.scripts)


def with_prelude(rendered: str, directory: str) -> str:
    """``directory`` becomes RW_DIR. The prelude is never a template."""
    return (
        f"export RW_DIR={shlex.quote(directory)}\n{script('prelude').rstrip()}\n"
        f"# the role's script\n{rendered.rstrip()}\n"
    )


async def ready(
    scope: Scope, subject: Subject, path: str, values: Mapping[str, object], directory: str
) -> str:
    source_id, text = scope.role_script(subject.stage, path)
    return with_prelude(await scope.render(source_id, text, values), directory)
