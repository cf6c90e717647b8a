"""A workflow's stages as a drawing: text, Mermaid or SVG. Edges that others imply are left out."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Final, Literal, assert_never

from rackwright.engine.content.workflow import WorkflowSpec, WorkflowStage
from rackwright.engine.plan.graph import StageGraph

Style = Literal["text", "mermaid", "svg"]

_BOX_WIDTH: Final = 190
_BOX_HEIGHT: Final = 44
_GAP_X: Final = 70
_GAP_Y: Final = 22
_MARGIN: Final = 16


def draw(workflow: WorkflowSpec, graph: StageGraph, style: Style) -> str:
    match style:
        case "text":
            return "\n".join(_text(workflow, graph)) + "\n"
        case "mermaid":
            return "\n".join(_mermaid(workflow, graph)) + "\n"
        case "svg":
            return "\n".join(_svg(workflow, graph)) + "\n"
        case _:
            assert_never(style)


def _on(stage: WorkflowStage) -> str:
    return stage.group if stage.pick == "all" else f"{stage.group}.{stage.pick}"


def _wait(workflow: WorkflowSpec, source: str, target: str) -> str:
    """What the edge waits for; "" for the same machine."""
    for need in workflow.stages[target].needs:
        if need.stage == source:
            match need.wait:
                case "same":
                    return ""
                case "count":
                    return f"{need.amount} machines"
                case "percent":
                    return f"{need.amount}%"
                case word:
                    return word
    return ""


def _sources(workflow: WorkflowSpec, graph: StageGraph) -> Mapping[str, list[tuple[str, str]]]:
    """Stage -> (what it needs, what that edge waits for)."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in graph.order}
    for source, target in graph.reduced_edges():
        found[target].append((source, _wait(workflow, source, target)))
    return found


def _text(workflow: WorkflowSpec, graph: StageGraph) -> Iterator[str]:
    wide = max(map(len, graph.order), default=0)
    sources = _sources(workflow, graph)
    on_wide = max((len(_on(workflow.stages[name])) for name in graph.order), default=0)
    for name in graph.order:
        stage = workflow.stages[name]
        needs = ", ".join(f"{need} ({wait})" if wait else need for need, wait in sources[name])
        marks = " ".join(_marks(stage))
        line = f"{name:<{wide}}  {_on(stage):<{on_wide}}"
        line += f"  <- {needs}" if needs else ""
        yield (line + (f"  [{marks}]" if marks else "")).rstrip()


def _marks(stage: WorkflowStage) -> Iterator[str]:
    if stage.destructive:
        yield f"erases {stage.destructive}"
    if stage.means_to:
        yield f"means to {', '.join(name for name, _ in stage.means_to)}"
    if stage.when is not None:
        yield f"when {stage.when.text}"
    if stage.always:
        yield "always"


def _mermaid(workflow: WorkflowSpec, graph: StageGraph) -> Iterator[str]:
    yield "flowchart LR"
    number = {name: f"s{place}" for place, name in enumerate(graph.order)}
    for name in graph.order:
        stage = workflow.stages[name]
        yield f'  {number[name]}["{name}<br/>{_on(stage)}"]'
    for target, needs in _sources(workflow, graph).items():
        for source, wait in needs:
            arrow = f"-. {wait} .->" if wait else "-->"
            yield f"  {number[source]} {arrow} {number[target]}"
    dangerous = [number[name] for name in graph.order if workflow.stages[name].destructive]
    if dangerous:
        yield "  classDef destructive stroke:#c00,stroke-width:3px"
        yield f"  class {','.join(dangerous)} destructive"


def _svg(workflow: WorkflowSpec, graph: StageGraph) -> Iterator[str]:
    """Columns by the longest way from a first stage; rows in topological order."""
    sources = _sources(workflow, graph)
    column: dict[str, int] = {}
    rows: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for name in graph.order:
        column[name] = max((column[s] + 1 for s, _ in sources[name]), default=0)
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        x = _MARGIN + column[name] * (_BOX_WIDTH + _GAP_X)
        place[name] = (x, _MARGIN + row * (_BOX_HEIGHT + _GAP_Y))
    width = 2 * _MARGIN + len(rows) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + max(rows.values(), default=0) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">'
    )
    yield (
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
    )
    for target, needs in sources.items():
        for source, wait in needs:
            yield from _arrow(place[source], place[target], wait)
    for name, (x, y) in place.items():
        stage = workflow.stages[name]
        stroke = "#c00" if stage.destructive else "#555"
        yield (
            f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" '
            f'fill="#fff" stroke="{stroke}"/>'
        )
        yield f'<text x="{x + 10}" y="{y + 18}" font-weight="bold">{escape(name)}</text>'
        yield f'<text x="{x + 10}" y="{y + 35}" fill="#555">{escape(_on(stage))}</text>'
    yield "</svg>"


def _arrow(begin: tuple[int, int], end: tuple[int, int], wait: str) -> Iterator[str]:
    x1, y1 = begin[0] + _BOX_WIDTH, begin[1] + _BOX_HEIGHT // 2
    x2, y2 = end[0], end[1] + _BOX_HEIGHT // 2
    bend = _GAP_X // 2
    dash = ' stroke-dasharray="5 4"' if wait else ""
    yield (
        f'<path d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" '
        f'stroke="#555"{dash} marker-end="url(#a)"/>'
    )
    if wait:
        yield (
            f'<text x="{x2 - 6}" y="{y2 - 6}" text-anchor="end" font-size="11" '
            f'fill="#555">{escape(wait)}</text>'
        )
