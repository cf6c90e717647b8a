"""Finds names in templates that would be undefined at run time, before anything is touched.

A reference is a chain from a top-level name: ``params.subnet``, ``outputs['init'].token``. Chains
under ``is defined`` or ``| default(...)`` may be absent. What a loop variable holds is not known
here and not checked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes

from rackwright.engine.content.errors import Mark, Problems, near
from rackwright.engine.content.template import environment, parse_template

Path = tuple[str, ...]
_MAPPING_METHODS = frozenset(("get", "items", "keys", "values"))

# The context that executors give to templates; a role that names anything else is refused.
MACHINE_FIELDS = (
    *("id", "name", "labels", "firmware", "pxe_mac", "management_address", "address"),
    *("cluster_address", "gateway", "dns", "console", "drives", "product", "uuid", "serial"),
)
INSTALLED_FIELDS = ("install_id", "image_digest", "drive_serial", "generation", "os")
ERASE_FIELDS = (
    *("machine_id", "drive_serial", "drive_wwn", "drive_model", "size_bytes", "sector_bytes"),
    *("signatures", "install_id", "generation", "attempts", "reason", "image_digest"),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What may follow a name: ``None`` children mean anything. ``optional`` names are declared
    but not set, and need ``is defined`` or ``default``."""

    children: Mapping[str, "Shape"] | None = None
    optional: frozenset[str] = frozenset()
    what: str = "name"
    add: str = ""  # how to make an unknown child known


ANYTHING = Shape()


def leaves(names: tuple[str, ...], what: str = "name", add: str = "") -> Shape:
    return Shape(dict.fromkeys(names, ANYTHING), what=what, add=add)


FIXED: Mapping[str, Shape] = {
    "machine": leaves(MACHINE_FIELDS, "machine field"),
    "erase": leaves(ERASE_FIELDS, "erasure field"),
    "installed": leaves(INSTALLED_FIELDS, "installed field"),
    "cluster": leaves(("name", "id"), "cluster field"),
    "run": leaves(("id",), "run field"),
    "ssh": leaves(("authorized_key", "host_certificate"), "ssh field"),
    "controller": leaves(("url", "address"), "controller field"),
    "stage": ANYTHING,
    "attempt": ANYTHING,
}


@dataclass(frozen=True, slots=True)
class Reference:
    path: Path
    line: int
    is_guarded: bool


@dataclass(slots=True)
class Script:
    """A parsed template's references."""

    shown: str
    lines: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    artifacts: tuple[tuple[object, int], ...] = ()  # name expressions of artifacts[...], lines
    stored: tuple[tuple[str, int], ...] = ()  # names that the template sets itself

    def mark(self, path: Path, line: int) -> Mark:
        """The column is found in the text: Jinja keeps lines only."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        pattern = r"\b" + r"\W+".join(re.escape(p) for p in path) + r"\b"
        match = re.search(pattern, text) or re.search(rf"\b{re.escape(path[-1])}\b", text)
        return Mark(self.shown, line, match.start() + 1 if match else 1)


def read_script(source: str, shown: str, problems: Problems) -> Script | None:
    """None, and a mistake, if the template does not compile."""
    env = environment()
    script = Script(shown, tuple(source.splitlines()))
    try:
        tree = parse_template(env, source)
    except TemplateSyntaxError as error:
        problems.add(
            Mark(shown, error.lineno, 1),
            f"the template does not compile: {error.message}",
            _syntax_hint(error.message or "", script.lines, error.lineno),
        )
        return None
    stored = tuple((n.name, n.lineno) for n in tree.find_all(nodes.Name) if n.ctx != "load")
    # a name set in one branch is the template's own; a read outside it is for strict undefined
    free = _free_names(tree) - set(env.globals) - {name for name, _ in stored}
    guarded = frozenset(_guarded(tree))
    found: list[Reference] = []
    for path, line in _chains(tree):
        if path[0] in free:
            found.append(Reference(path, line, path in guarded))
    script.references = tuple(found)
    script.artifacts = tuple(_artifact_names(tree))
    script.stored = stored
    return script


def _free_names(tree: nodes.Template) -> set[str]:
    """Names that come from the context. What ``meta.find_undeclared_variables`` does, without
    the optimizer: that would evaluate ``'a' * 10**9`` here."""
    if tree.environment is None:
        return set()
    generator = meta.TrackingCodeGenerator(tree.environment)
    generator.optimizer = None
    generator.visit(tree)
    return generator.undeclared_identifiers


def check_names(script: Script, known: Mapping[str, Shape], problems: Problems) -> None:
    """Every reference against what a stage's templates are given."""
    for name, line in script.stored:
        if name in known:
            problems.add(
                script.mark((name,), line), f"'{name}' is given to templates", "use another name"
            )
    top = Shape(known)
    for reference in script.references:
        wrong = _unknown(reference, top)
        if wrong is None:
            continue
        path, shape, is_optional = wrong
        mark = script.mark(path, reference.line)
        dotted = ".".join(path)
        if is_optional:
            problems.add(
                mark,
                f"{shape.what} '{dotted}' is not set and has no default",
                f"set it, or guard it with 'is defined': {{% if {dotted} is defined %}}",
            )
        else:
            hint = near(path[-1], shape.children or ())
            problems.add(
                mark,
                f"undefined {shape.what} '{dotted}'",
                "; ".join(text for text in (hint, shape.add) if text),
            )


def _unknown(reference: Reference, top: Shape) -> tuple[Path, Shape, bool] | None:
    shape = top
    for index, step in enumerate(reference.path):
        if shape.children is None or (index and step in _MAPPING_METHODS):
            return None
        if step in shape.children:
            shape = shape.children[step]
            continue
        if step in shape.optional:
            is_excused = reference.is_guarded
        else:
            is_excused = reference.is_guarded and reference.path[0] == "outputs"
        if is_excused:
            return None
        return reference.path[: index + 1], shape, step in shape.optional
    return None


def _path(node: nodes.Node) -> Path | None:
    """The chain that ends at ``node``, as far as it is constant."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        base = _path(node.node)
        return None if base is None else (*base, node.attr)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        base = _path(node.node)
        is_name = isinstance(node.arg.value, str)
        return None if base is None or not is_name else (*base, node.arg.value)
    return None


def _chains(tree: nodes.Node) -> Iterator[tuple[Path, int]]:
    """The longest constant chains, each with its line."""
    stack = [tree]
    while stack:
        node = stack.pop()
        path = _path(node)
        if path is not None:
            yield path, node.lineno
            continue
        stack.extend(node.iter_child_nodes())


def _guarded(tree: nodes.Node) -> Iterator[Path]:
    for test in tree.find_all(nodes.Test):
        path = _path(test.node)
        if test.name in ("defined", "undefined") and path is not None:
            yield path
    for call in tree.find_all(nodes.Filter):
        path = _path(call.node) if call.node is not None else None
        if call.name in ("default", "d") and path is not None:
            yield path


def _artifact_names(tree: nodes.Node) -> Iterator[tuple[object, int]]:
    for attribute in tree.find_all(nodes.Getattr):
        if _is_artifacts(attribute.node) and attribute.attr not in _MAPPING_METHODS:
            yield attribute.attr, attribute.lineno
    for item in tree.find_all(nodes.Getitem):
        if _is_artifacts(item.node):
            yield item.arg, item.lineno


def _is_artifacts(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "artifacts"


def constant(node: object, params: Mapping[str, object]) -> str | None:
    """The text of an expression made of strings, params and ``~`` or ``+``; None if it is not."""
    if isinstance(node, str):
        return node
    if isinstance(node, nodes.Const):
        return str(node.value)
    if isinstance(node, nodes.Concat):
        parts = [constant(part, params) for part in node.nodes]
        return None if None in parts else "".join(str(p) for p in parts)
    if isinstance(node, nodes.Add):
        left, right = constant(node.left, params), constant(node.right, params)
        return None if left is None or right is None else left + right
    path = _path(node) if isinstance(node, nodes.Node) else None
    if path is None or path[0] != "params":
        return None
    value: Any = params
    for step in path[1:]:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def _syntax_hint(message: str, lines: tuple[str, ...], line: int) -> str:
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    if "{{." in text or "{{json" in text or "--format" in text:
        return "put braces of another language between {% raw %} and {% endraw %}"
    if "is not available" in message:
        return "a script is one file: use shell functions within it"
    return ""
