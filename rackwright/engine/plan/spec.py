"""The cluster spec: what an operator asks for, with the place of every value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rackwright.engine.content.errors import Mark, Problems
from rackwright.engine.content.fields import Fields, check_name
from rackwright.engine.content.workflow import WavesSpec, parse_waves, parse_windows
from rackwright.engine.content.yaml_source import Node, parse

DRIVE_TYPES = ("nvme", "ssd", "hdd", "virtio")
_SPEC_KEYS = ("cluster", "workflow", "pools", "disks", "params", "waves", "windows", "accept")
_DISK_KEYS = ("selector", "type", "size", "min_size", "max_size", "model", "wwn", "serial")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """Either ``machines`` are named, or ``count`` of those that ``selector`` matches."""

    name: str
    mark: Mark
    count: int
    selector: str
    selector_mark: Mark
    machines: tuple[tuple[str, Mark], ...] | None


@dataclass(frozen=True, slots=True)
class DiskRule:
    """Which drive to install on, for the machines that ``selector`` matches. Sizes in bytes."""

    selector: str = ""
    type: str = ""
    size_bytes: int | None = None
    min_size_bytes: int | None = None
    max_size_bytes: int | None = None
    model: str = ""
    wwn: str = ""
    serial: str = ""
    mark: Mark | None = None

    def __str__(self) -> str:
        """As the operator would write it."""
        parts = [
            *(f"{k}: {v}" for k, v in (("selector", self.selector), ("type", self.type)) if v),
            *(f"size: {v}" for v in (self.size_bytes,) if v is not None),
            *(f"min_size: {v}" for v in (self.min_size_bytes,) if v is not None),
            *(f"max_size: {v}" for v in (self.max_size_bytes,) if v is not None),
            *(f"model: {v}" for v in (self.model,) if v),
            *(f"wwn: {v}" for v in (self.wwn,) if v),
            *(f"serial: {v}" for v in (self.serial,) if v),
        ]
        return f"{{{', '.join(parts)}}}" if parts else "any internal drive"


@dataclass(frozen=True, slots=True)
class AcceptRule:
    """What a supplement may erase without asking again."""

    mark: Mark
    selector: str
    disk: DiskRule
    at_most: int
    with_data: bool = False


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    cluster: str
    mark: Mark
    workflow: str
    workflow_mark: Mark
    pools: Mapping[str, PoolSpec]
    pools_mark: Mark
    disks: tuple[DiskRule, ...]
    params: Mapping[str, Node]  # by role name
    params_marks: Mapping[str, Mark]
    waves: Mapping[str, WavesSpec]  # by stage name
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # see ``parse_windows``
    windows_marks: Mapping[str, Mark] = field(default_factory=dict)
    accept: AcceptRule | None = None


def parse_spec(text: str | bytes, file: str) -> ClusterSpec:
    """Raises ContentErrors with every mistake, or ContentError where YAML itself is refused."""
    root = parse(text, file)
    problems = Problems()
    fields = Fields(root, "the cluster spec", _SPEC_KEYS, problems)
    fields.require("cluster", "workflow", "pools")
    cluster = fields.text("cluster")
    if cluster:
        check_name(cluster, "a cluster", fields.mark("cluster"), problems)
    pools = {
        name: _pool(name, fields, node, problems) for name, node in fields.mapping("pools").items()
    }
    if not pools and fields.get("pools") is not None:
        problems.add(fields.mark("pools"), "the cluster spec has no pools")
    params = fields.mapping("params")
    for name, node in params.items():
        if node.mapping is None:
            problems.add(node.mark, f"params of role {name} must be a mapping, not {node.kind}")
    waves = {
        stage: found
        for stage, node in fields.mapping("waves").items()
        if (found := parse_waves(node, f"stage {stage}", problems)) is not None
    }
    spec = ClusterSpec(
        cluster=cluster,
        mark=root.mark,
        workflow=fields.text("workflow"),
        workflow_mark=fields.mark("workflow"),
        pools=pools,
        pools_mark=fields.mark("pools"),
        disks=tuple(_disk(node, problems) for node in fields.items("disks")),
        params=params,
        params_marks=_keys(fields, "params"),
        waves=waves,
        windows=parse_windows(fields, problems),
        windows_marks=_keys(fields, "windows"),
        accept=_accept(fields.get("accept"), problems),
    )
    problems.check()
    return spec


def _accept(node: Node | None, problems: Problems) -> AcceptRule | None:
    if node is None:
        return None
    known = ("selector", "disk", "at_most", "with_data")
    fields = Fields(node, "accept", known, problems)
    fields.require("disk", "at_most")
    disk = fields.get("disk")
    return AcceptRule(
        mark=node.mark,
        selector=fields.text("selector"),
        disk=_disk(disk, problems) if disk is not None else DiskRule(),
        at_most=fields.integer("at_most", 0, least=1),
        with_data=fields.boolean("with_data"),
    )


def _keys(fields: Fields, section: str) -> Mapping[str, Mark]:
    node = fields.get(section)
    return node.keys if node is not None else {}


def _pool(name: str, outer: Fields, node: Node, problems: Problems) -> PoolSpec:
    mark = _keys(outer, "pools")[name]
    check_name(name, "a pool", mark, problems)
    fields = Fields(node, f"pool {name}", ("count", "selector", "machines"), problems)
    machines = fields.texts("machines") if fields.get("machines") is not None else None
    if machines is not None:
        for key in ("count", "selector"):
            if fields.get(key) is not None:
                problems.add(
                    fields.mark(key),
                    f"pool {name} has both machines and {key}",
                    "name machines, or give count and selector",
                )
        _refuse_repeats(name, machines, problems)
    elif fields.get("count") is None and node.mapping is not None:
        problems.add(
            mark, f"pool {name} says neither count nor machines", "count: 3, or machines: [n1, n2]"
        )
    return PoolSpec(
        name=name,
        mark=mark,
        count=fields.integer("count", 0, most=1_000_000),
        selector=fields.text("selector"),
        selector_mark=fields.mark("selector"),
        machines=machines,
    )


def _refuse_repeats(pool: str, machines: tuple[tuple[str, Mark], ...], problems: Problems) -> None:
    seen = set()
    for name, mark in machines:
        if name in seen:
            problems.add(mark, f"machine {name} stands twice in pool {pool}")
        seen.add(name)


def _disk(node: Node, problems: Problems) -> DiskRule:
    fields = Fields(node, "a disk rule", _DISK_KEYS, problems)
    rule = DiskRule(
        selector=fields.text("selector"),
        type=fields.choice("type", DRIVE_TYPES, ""),
        size_bytes=fields.size_bytes("size"),
        min_size_bytes=fields.size_bytes("min_size"),
        max_size_bytes=fields.size_bytes("max_size"),
        model=fields.text("model"),
        wwn=fields.text("wwn"),
        serial=fields.text("serial"),
        mark=node.mark,
    )
    low, high = rule.min_size_bytes, rule.max_size_bytes
    if low is not None and high is not None and low > high:
        problems.add(fields.mark("min_size"), "min_size is larger than max_size")
    return rule
