"""From a role's script to the text that runs: chosen by family, rendered, the preludes before it:
ours, then the role's own."""

import shlex
from collections.abc import Mapping, Sequence

from rackwright.engine.executors.context import outputs_values
from rackwright.engine.executors.scope import Scope, Subject
from rackwright.engine.executors.shell.base import script
from rackwright.engine.plan.model import PlannedStage


def chosen(stage: PlannedStage, kind: str, families: Sequence[str]) -> str | None:
    """The path of the stage's check, apply, verify or prelude for a machine of these families."""
    for family in families:
        if path := stage.scripts.get(f"{kind}@{family}"):
            return path
    return stage.scripts.get(kind)


def has(stage: PlannedStage, kind: str) -> bool:
    return any(key.partition("@")[0] == kind for key in stage.scripts)


def with_prelude(rendered: str, directory: str) -> str:
    """``directory`` becomes RW_DIR. Our prelude is never a template."""
    return (
        f"export RW_DIR={shlex.quote(directory)}\n{script('prelude').rstrip()}\n"
        f"# the role's script\n{rendered.rstrip()}\n"
    )


async def ready(
    scope: Scope,
    subject: Subject,
    path: str,
    values: Mapping[str, object],
    *,
    directory: str,
    families: Sequence[str],
) -> str:
    """The text to run. The role's prelude is rendered by itself, with the same values."""
    paths = (chosen(subject.stage, "prelude", families), path)
    parts = []
    for source_id, text in (scope.role_script(subject.stage, p) for p in paths if p):
        # A run of 10,000 machines has as many outputs: only who names them gets them.
        outputs = outputs_values(scope.plan, scope.outputs()) if "outputs" in text else {}
        given = {**values, "outputs": outputs}
        parts.append((await scope.render(source_id, text, given)).rstrip())
    return with_prelude("\n".join(parts), directory)
