"""A role: what a machine becomes, as its role.yaml says it. Parsing only; files are the library's.

What each attribute means stands at its field in ``StageSpec`` and ``plan.model``. A stage without
``check`` may have no ``apply``: what cannot be asked is never done.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rackwright.engine.content.errors import Mark, Problems
from rackwright.engine.content.fields import Fields, check_name
from rackwright.engine.content.yaml_source import Node, parse, plain
from rackwright.engine.plan.model import Retries, SecretSource

EXECUTORS = ("ssh", "netboot", "local", "ansible")
ANSIBLE_TASKS = {
    "check": "tasks/check.yml",
    "apply": "tasks/main.yml",
    "verify": "tasks/verify.yml",
}
_NOT_ANSIBLE = ("files", "apply_in", "reboots", "destructive", "cluster_scoped", "undo")
OUTPUT_TYPES = ("string", "integer", "number", "boolean", "object", "array")
SCRIPTS = ("check", "apply", "verify", "undo")
_ROLE_KEYS = ("description", "params", "prelude", "stages")
_STAGE_KEYS = (
    *("description", "executor", *SCRIPTS, "timeout", "retries", "outputs", "secrets", "files"),
    *("artifacts", "apply_in", "reboots", "destructive", "cluster_scoped", "estimate"),
)
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*(/[A-Za-z0-9][A-Za-z0-9._@-]*)*\Z")
_REFERENCE = re.compile(r"[A-Za-z0-9{][A-Za-z0-9{}./_ -]*\Z")
_OUTPUT = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a role. Script paths are relative to the role's folder."""

    name: str
    mark: Mark
    executor: str
    scripts: Mapping[str, str]  # check, apply, verify, undo; family variants are found by path
    timeout_s: float
    retries: Retries
    outputs: Mapping[str, str]  # name -> JSON type
    secrets: Mapping[str, SecretSource]
    files: Mapping[str, str]  # name -> artifact reference; may hold {{ params.x }}
    artifacts: tuple[str, ...]  # further artifact references that the templates name
    apply_in: str
    reboots: str | None
    destructive: str | None
    cluster_scoped: bool
    estimate_s: float | None  # how long it usually takes on one machine
    marks: Mapping[str, Mark]  # attribute (scripts, secrets.<name>) -> place


@dataclass(frozen=True, slots=True)
class RoleSpec:
    name: str
    mark: Mark
    description: str
    params: Node | None  # JSON Schema, with places
    stages: Mapping[str, StageSpec]
    prelude: str = ""  # a template that precedes every script of the role: functions, no output
    prelude_mark: Mark | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """The params' JSON Schema; an empty object's if the role takes none."""
        if self.params is None:
            return {"type": "object", "properties": {}}
        found = plain(self.params)
        return found if isinstance(found, dict) else {}


def parse_role(name: str, text: str | bytes, file: str) -> RoleSpec:
    """Raises ContentErrors with every mistake, or ContentError where YAML itself is refused."""
    root = parse(text, file)
    problems = Problems()
    fields = Fields(root, f"role {name}", _ROLE_KEYS, problems)
    fields.require("stages")
    stages = {}
    for stage_name, node in fields.mapping("stages").items():
        mark = fields.get("stages").keys[stage_name]  # type: ignore[union-attr]
        check_name(stage_name, "a stage", mark, problems)
        stages[stage_name] = _stage(stage_name, mark, node, problems)
    if not stages and fields.get("stages") is not None:
        problems.add(fields.mark("stages"), f"role {name} has no stages")
    role = RoleSpec(
        name,
        root.mark,
        fields.text("description"),
        fields.get("params"),
        stages,
        _script_path(fields, "prelude", problems),
        fields.mark("prelude"),
    )
    if role.params is not None and role.params.mapping is None:
        problems.add(role.params.mark, f"params of role {name} must be a JSON Schema object")
    problems.check()
    return role


def _stage(name: str, mark: Mark, node: Node, problems: Problems) -> StageSpec:
    fields = Fields(node, f"stage {name}", _STAGE_KEYS, problems)
    executor = fields.choice("executor", EXECUTORS, "ssh")
    scripts = _scripts(fields, problems)
    if executor == "ansible":
        scripts = _ansible(fields, scripts, problems)
    if executor != "netboot" and node.mapping is not None:
        _check_scripts(name, mark, scripts, problems)
    secrets, secret_marks = _secrets(fields, problems)
    return StageSpec(
        name=name,
        mark=mark,
        executor=executor,
        scripts=scripts,
        timeout_s=fields.duration_s("timeout", 1800.0 if executor == "netboot" else 300.0),
        retries=parse_retries(fields, problems) or Retries(),
        outputs=_outputs(fields, problems),
        secrets=secrets,
        files=_references(fields, problems),
        artifacts=tuple(text for text, _ in fields.texts("artifacts")),
        apply_in=fields.choice("apply_in", ("os", "ramdisk"), "os"),
        reboots=fields.choice("reboots", ("disk",), "") or None,
        destructive=fields.choice("destructive", ("disk",), "") or None,
        cluster_scoped=fields.boolean("cluster_scoped"),
        estimate_s=fields.duration_s("estimate", 0) or None,
        marks={**{key: fields.mark(key) for key in _STAGE_KEYS}, **secret_marks},
    )


def _scripts(fields: Fields, problems: Problems) -> Mapping[str, str]:
    paths = {kind: _script_path(fields, kind, problems) for kind in SCRIPTS}
    return {kind: path for kind, path in paths.items() if path}


def _script_path(fields: Fields, key: str, problems: Problems) -> str:
    path = fields.text(key)
    if not path or is_script_path(path):
        return path
    problems.add(
        fields.mark(key),
        f"'{path[:60]}' is no path inside the role's folder",
        "use a relative path without '..', such as init/check.sh",
    )
    return ""


def _ansible(fields: Fields, scripts: Mapping[str, str], problems: Problems) -> Mapping[str, str]:
    """An Ansible role's tasks files are found by convention, or named."""
    for key in _NOT_ANSIBLE:
        if fields.get(key) is not None:
            problems.add(
                fields.mark(key),
                f"{fields.what} is an Ansible role, and has no '{key}'",
                "use a stage with executor: ssh for that",
            )
    for kind, path in scripts.items():
        if not re.match(r"tasks/[^/]+\.ya?ml\Z", path):
            problems.add(
                fields.mark(kind), f"'{path[:60]}' is no tasks file", "such as tasks/main.yml"
            )
    return {**ANSIBLE_TASKS, **{k: path for k, path in scripts.items() if k in ANSIBLE_TASKS}}


def is_script_path(path: str) -> bool:
    return len(path) <= 200 and ".." not in path and _PATH.match(path) is not None


def _check_scripts(name: str, mark: Mark, scripts: Mapping[str, str], problems: Problems) -> None:
    if "verify" not in scripts:
        problems.add(
            mark, f"stage {name} has no verify", "a stage without evidence proves nothing: add one"
        )
    if "apply" in scripts and "check" not in scripts:
        problems.add(
            mark, f"stage {name} has apply without check", "add a check: exit 0 done, 10 not done"
        )


def parse_retries(fields: Fields, problems: Problems) -> Retries | None:
    """The ``retries`` attribute; None if it is not set."""
    node = fields.get("retries")
    if node is None:
        return None
    inner = Fields(node, f"retries of {fields.what}", ("max", "backoff"), problems)
    return Retries(inner.integer("max", 0, most=100), inner.duration_s("backoff", 10.0))


def _outputs(fields: Fields, problems: Problems) -> Mapping[str, str]:
    outputs = fields.text_map("outputs")
    for name, kind in outputs.items():
        mark = fields.mapping("outputs")[name].mark
        if not _OUTPUT.match(name) or name == "by_machine":
            problems.add(mark, f"'{name[:60]}' is no name for an output", "use lower_case words")
        if kind not in OUTPUT_TYPES:
            known = ", ".join(OUTPUT_TYPES)
            problems.add(mark, f"'{kind[:60]}' is no JSON type", f"known: {known}")
    return outputs


def _references(fields: Fields, problems: Problems) -> Mapping[str, str]:
    files = fields.text_map("files")
    for name, reference in files.items():
        mark = fields.mapping("files")[name].mark
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z", name):
            problems.add(mark, f"'{name[:60]}' is no file name", "use letters, digits, '.', '-'")
        if not _REFERENCE.match(reference) or ".." in reference:
            problems.add(
                mark, f"'{reference[:60]}' is no artifact", "for example image/debian-12 or ramdisk"
            )
    return files


def _secrets(
    fields: Fields, problems: Problems
) -> tuple[Mapping[str, SecretSource], Mapping[str, Mark]]:
    secrets, marks = {}, {}
    for name, node in fields.mapping("secrets").items():
        inner = Fields(node, f"secret {name}", ("mint", "revoke", "on", "ttl", "per"), problems)
        inner.require("mint", "on")
        inner.choice("per", ("stage",), "stage")
        for key in ("mint", "revoke"):
            path = inner.text(key)
            if path and not is_script_path(path):
                problems.add(inner.mark(key), f"'{path[:60]}' is no path inside the role's folder")
            marks[f"secrets.{name}.{key}"] = inner.mark(key)
        target = inner.text("on")
        if target and not re.match(r"[a-z0-9_-]+\.one\Z", target):
            problems.add(
                inner.mark("on"),
                f"secret {name} is minted on '{target[:60]}'",
                "a secret is minted on one machine of a group: GROUP.one",
            )
        marks[f"secrets.{name}.on"] = inner.mark("on")
        secrets[name] = SecretSource(
            mint=inner.text("mint"),
            revoke=inner.text("revoke") or None,
            on=target,
            ttl_s=inner.duration_s("ttl", 600.0),
        )
    return secrets, marks
