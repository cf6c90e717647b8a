"""A workflow with its roles found, params merged and templates checked: all that can be known
before machines are looked at. Every mistake is collected; nothing is rendered.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rackwright.engine.content.errors import ContentError, ContentErrors, Mark, Problems, near
from rackwright.engine.content.library import Library
from rackwright.engine.content.names import (
    ANYTHING,
    FIXED,
    Script,
    Shape,
    check_names,
    constant,
    leaves,
    read_script,
)
from rackwright.engine.content.role import ANSIBLE_TASKS, RoleSpec, StageSpec
from rackwright.engine.content.schema import check_schema, declared_params, is_open, merged_params
from rackwright.engine.content.workflow import DESTRUCTIVE, WorkflowSpec, WorkflowStage
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.graph import StageGraph, stage_graph
from rackwright.engine.plan.spec import ClusterSpec

_PARAM = re.compile(r"\{\{\s*params\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class ResolvedStage:
    """A workflow stage, the role stage that it uses, and what its templates are given."""

    stage: WorkflowStage
    role: RoleSpec
    spec: StageSpec
    params: Mapping[str, object]
    scripts: Mapping[str, str] = field(default_factory=dict)  # kind[@family] -> path in the role
    files: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    uses_labels: bool = False
    has_params: bool = True  # False: not all are known, so what uses them is not judged
    wanting: tuple[str, ...] = ()  # params that only a cluster spec can still give

    @property
    def destructive(self) -> str | None:
        """A role's destruction cannot be taken away by a workflow."""
        return self.stage.destructive or self.spec.destructive

    @property
    def is_metal(self) -> bool:
        """Whether it only concerns machines that we power and boot."""
        on_metal = self.spec.executor == "netboot" or self.spec.apply_in == "ramdisk"
        return on_metal or self.destructive is not None

    @property
    def references(self) -> tuple[str, ...]:
        """Every artifact that it touches, sorted."""
        netboot = ("ramdisk",) if self.spec.executor == "netboot" else ()
        return tuple(sorted({*self.files.values(), *self.artifacts, *netboot}))


@dataclass(frozen=True, slots=True)
class Resolved:
    workflow: WorkflowSpec
    graph: StageGraph
    stages: Mapping[str, ResolvedStage]  # in topological order


def resolve(library: Library, workflow: WorkflowSpec, spec: ClusterSpec | None) -> Resolved:
    """Raises ContentErrors with everything that is wrong.

    Without a ``spec`` its params may be missing: see ``ResolvedStage.wanting``.
    """
    problems = Problems()
    graph = stage_graph(workflow, problems)
    if spec is not None:
        _check_spec(workflow, spec, problems)
    usable: dict[str, bool] = {}
    missing_at = {s.role: s.use_mark for s in reversed(tuple(workflow.stages.values()))}
    if spec is not None:
        missing_at.update(spec.params_marks)
    found = {
        stage.name: one
        for stage in workflow.stages.values()
        if (one := _resolve_stage(library, stage, spec, usable, missing_at, problems)) is not None
    }
    if spec is not None:
        known = {s.role for s in workflow.stages.values()}
        for role, mark in spec.params_marks.items():
            if role not in known:
                problems.add(
                    mark, f"workflow {workflow.name} uses no role '{role[:60]}'", near(role, known)
                )
    if graph is not None:
        scripts: dict[str, Script | None] = {}
        for name, one in found.items():
            found[name] = _with_scripts(library, one, found, graph, scripts, problems)
    for one in found.values():
        _check_secrets(one, workflow, problems)
    problems.check()
    if graph is None:
        raise OperatorError(f"workflow {workflow.name} has no order")
    return Resolved(workflow, graph, {name: found[name] for name in graph.order})


def _check_spec(workflow: WorkflowSpec, spec: ClusterSpec, problems: Problems) -> None:
    used = {pool for group in workflow.groups.values() for pool in group.pools}
    for group in workflow.groups.values():
        for pool in group.pools:
            if pool not in spec.pools:
                problems.add(
                    spec.pools_mark,
                    f"the spec has no pool '{pool}', which group {group.name} of workflow "
                    f"{workflow.name} is made from",
                    near(pool, spec.pools),
                )
    for name, found in spec.pools.items():
        if workflow.groups and name not in used:
            problems.add(
                found.mark, f"workflow {workflow.name} uses no pool '{name}'", near(name, used)
            )
    for stage in spec.windows:
        if stage not in workflow.stages and stage != DESTRUCTIVE:
            problems.add(
                spec.windows_marks[stage],
                f"workflow {workflow.name} has no stage '{stage[:60]}'",
                near(stage, (*workflow.stages, DESTRUCTIVE)),
            )
    for stage, waves in spec.waves.items():
        if stage not in workflow.stages:
            problems.add(
                waves.mark,
                f"workflow {workflow.name} has no stage '{stage[:60]}'",
                near(stage, workflow.stages),
            )


def _resolve_stage(
    library: Library,
    stage: WorkflowStage,
    spec: ClusterSpec | None,
    usable: dict[str, bool],
    missing_at: Mapping[str, Mark],
    problems: Problems,
) -> ResolvedStage | None:
    try:
        role = library.role(stage.role, stage.use_mark)
    except ContentErrors as errors:
        for error in errors.errors:
            problems.take(error)
        return None
    except ContentError as error:
        problems.take(error)
        return None
    found = _role_stage(role, stage, problems)
    if role.name not in usable:
        usable[role.name] = check_schema(role, problems)
    if found is None or not usable[role.name]:
        return None
    over = spec.params.get(role.name) if spec is not None else None
    wanting: set[str] | None = set() if spec is None else None
    params = merged_params(role, (stage.params, over), missing_at[role.name], problems, wanting)
    return ResolvedStage(
        stage,
        role,
        found,
        params or {},
        has_params=params is not None,
        wanting=tuple(sorted(wanting or ())),
    )


def _role_stage(role: RoleSpec, stage: WorkflowStage, problems: Problems) -> StageSpec | None:
    if not stage.role_stage and len(role.stages) == 1:
        return next(iter(role.stages.values()))
    name = stage.role_stage or role.name.rpartition("/")[2]
    if name in role.stages:
        return role.stages[name]
    if stage.role_stage:
        message, hint = f"role {role.name} has no stage '{name}'", near(name, role.stages)
    else:
        message = f"role {role.name} has several stages"
        hint = f"say which: {', '.join(f'{role.name}#{s}' for s in role.stages)}"
    problems.add(stage.use_mark, message, hint)
    return None


def _with_scripts(
    library: Library,
    one: ResolvedStage,
    all_stages: Mapping[str, ResolvedStage],
    graph: StageGraph,
    cache: dict[str, Script | None],
    problems: Problems,
) -> ResolvedStage:
    files = {
        name: _substituted(reference, one, one.spec.marks["files"], problems)
        for name, reference in one.spec.files.items()
    }
    named = [
        _substituted(reference, one, one.spec.marks["artifacts"], problems)
        for reference in one.spec.artifacts
    ]
    known = _known(one, files, all_stages, graph)
    scripts: dict[str, str] = {}
    uses_labels = False
    wanted = [(kind, path, one.spec.marks[kind]) for kind, path in _declared(library, one).items()]
    if wanted and one.role.prelude:
        wanted.append(("prelude", one.role.prelude, one.role.prelude_mark or one.role.mark))
    for kind, path, mark in wanted:
        variants = library.variants(one.role.name, path)
        if not variants:
            _missing(library, one, path, mark, problems)
        for family, variant in variants.items():
            scripts[f"{kind}@{family}" if family else kind] = variant
    is_ansible = one.spec.executor == "ansible"
    # an Ansible role's files are templates of another engine, with names of their own
    paths = set() if is_ansible else set(scripts.values())
    if is_ansible:
        files_of_role = library.role_files(one.role.name)
        uses_labels = any(b"labels" in file.data for file in files_of_role)
    for name, secret in one.spec.secrets.items():
        for kind, script_path in (("mint", secret.mint), ("revoke", secret.revoke)):
            if not script_path:
                continue
            if library.has(f"roles/{one.role.name}/{script_path}"):
                paths.add(script_path)
            else:
                mark = one.spec.marks[f"secrets.{name}.{kind}"]
                _missing(library, one, script_path, mark, problems)
    for path in sorted(paths):
        script = _script(library, one.role.name, path, cache, problems)
        if script is None:
            continue
        check_names(script, known, problems)
        named += _template_artifacts(script, one, problems)
        uses_labels |= any(
            r.path[0] == "machine" and (len(r.path) == 1 or r.path[1] in ("labels", "get", "items"))
            for r in script.references
        )
    return replace(
        one,
        scripts=scripts,
        files=files,
        artifacts=tuple(sorted({a for a in named if a} - set(files.values()))),
        uses_labels=uses_labels,
    )


def _declared(library: Library, one: ResolvedStage) -> Mapping[str, str]:
    """An Ansible role may lack the conventional files of what it does not do."""
    declared = dict(one.spec.scripts)
    if one.spec.executor != "ansible":
        return declared
    for kind in ("apply", "check"):
        is_conventional = declared[kind] == ANSIBLE_TASKS[kind]
        is_needed = kind == "check" and "apply" in declared
        if (
            is_conventional
            and not is_needed
            and not library.has(f"roles/{one.role.name}/{declared[kind]}")
        ):
            del declared[kind]
    return declared


def _known(
    one: ResolvedStage,
    files: Mapping[str, str],
    all_stages: Mapping[str, ResolvedStage],
    graph: StageGraph,
) -> Mapping[str, Shape]:
    """What the stage's templates are given, by name."""
    declared = declared_params(one.role)
    unset = frozenset(declared) - frozenset(one.params)
    add = f"params are declared in the role.yaml of {one.role.name}"
    params: Shape = (
        ANYTHING
        if is_open(one.role)
        else Shape(dict.fromkeys(one.params, ANYTHING), unset, "param", add)
        if one.has_params
        else leaves(declared, "param", add)
    )
    before = graph.ancestors(one.stage.name)
    outputs = {
        name: _outputs(all_stages[name]) if name in all_stages else ANYTHING
        for name in graph.order
        if name in before
    }
    return {
        **FIXED,
        "params": params,
        "files": leaves(tuple(files), "file", "files are declared with the stage"),
        "artifacts": ANYTHING,
        "outputs": Shape(
            outputs, what="outputs of stage", add="only stages that come before can be read"
        ),
    }


def _outputs(source: ResolvedStage) -> Shape:
    is_single = source.stage.pick == "one" or source.spec.cluster_scoped
    names = tuple(source.spec.outputs) if is_single else ()
    add = (
        f"outputs are declared in the role.yaml of {source.role.name}"
        if is_single
        else f"{source.stage.name} runs on several machines: read by_machine"
    )
    return leaves((*names, "by_machine"), "output", add)


def _script(
    library: Library,
    role: str,
    path: str,
    cache: dict[str, Script | None],
    problems: Problems,
) -> Script | None:
    full = f"roles/{role}/{path}"
    if full not in cache:
        file = library.file(full)
        try:
            source = file.data.decode("utf-8")
        except UnicodeDecodeError:
            problems.add(Mark(file.shown, 1, 1), "not UTF-8", "save the file as UTF-8")
            cache[full] = None
        else:
            cache[full] = read_script(source, file.shown, problems)
    return cache[full]


def _missing(
    library: Library, one: ResolvedStage, path: str, mark: Mark, problems: Problems
) -> None:
    prefix = len(f"roles/{one.role.name}/")
    known = [f.path[prefix:] for f in library.role_files(one.role.name)]
    problems.add(mark, f"role {one.role.name} has no file '{path}'", near(path, known))


def _substituted(reference: str, one: ResolvedStage, mark: Mark, problems: Problems) -> str:
    """An artifact reference with its params filled in."""

    def value(match: re.Match[str]) -> str:
        found = one.params.get(match.group(1)) if one.has_params else "unknown"
        if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", found):
            return found
        problems.add(
            mark,
            f"'{reference}' names param '{match.group(1)}', which is not a set string",
            near(match.group(1), one.params),
        )
        return ""

    return _PARAM.sub(value, reference)


def _template_artifacts(script: Script, one: ResolvedStage, problems: Problems) -> list[str]:
    found = []
    for expression, line in script.artifacts:
        name = constant(expression, one.params)
        if name is None and one.has_params:
            problems.add(
                script.mark(("artifacts",), line),
                "which artifact this is cannot be known before the run",
                "index artifacts by a string, a param, or both joined with ~",
            )
        elif name is not None:
            found.append(name)
    return found


def _check_secrets(one: ResolvedStage, workflow: WorkflowSpec, problems: Problems) -> None:
    for name, secret in one.spec.secrets.items():
        group = secret.on.partition(".")[0]
        if group not in workflow.groups:
            problems.add(
                one.stage.use_mark,
                f"stage {one.stage.name} needs the secret {name} from {secret.on}, and workflow "
                f"{workflow.name} has no group {group}",
                near(group, workflow.groups),
            )
