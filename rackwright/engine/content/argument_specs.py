"""An Ansible role's meta/argument_specs.yml as the JSON Schema of its params.

The format: docs.ansible.com, "Roles", section "Role argument validation". Only the entry point
``main`` counts: params are the same for check, apply and verify. Mistakes keep their place.
"""

from collections.abc import Mapping

from rackwright.engine.content.errors import Mark, Problems
from rackwright.engine.content.yaml_source import Node, plain

PATH = "meta/argument_specs.yml"
_TYPES: Mapping[str, object] = {
    **dict.fromkeys(("str", "path", "bytes", "bits", "jsonarg"), "string"),
    **{"int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"},
    **{"json": ["string", "object", "array"], "raw": None},
}
_SIZES = ["string", "integer"]


def params_of(root: Node, problems: Problems) -> Node | None:
    """None when there is no entry point ``main``."""
    specs = (root.mapping or {}).get("argument_specs")
    main = (specs.mapping or {}).get("main") if specs is not None else None
    if main is None or main.mapping is None:
        return None
    options = main.mapping.get("options")
    if options is None:
        return _node(main.mark, {"type": "object", "properties": {}})
    return _object(options, problems)


def _object(options: Node, problems: Problems) -> Node:
    if options.mapping is None:
        problems.add(options.mark, f"options must be a mapping, not {options.kind}")
        return _node(options.mark, {"type": "object"})
    properties = {name: _option(name, node, problems) for name, node in options.mapping.items()}
    required = [
        _node(node.mark, name)
        for name, node in options.mapping.items()
        if node.mapping is not None and _is_true(node, "required")
    ]
    found = {
        "type": _node(options.mark, "object"),
        "properties": Node(options.mark, properties, options.keys),
        "additionalProperties": _node(options.mark, False),
    }
    if required:
        found["required"] = Node(options.mark, tuple(required))
    return _mapping(options.mark, found)


def _option(name: str, node: Node, problems: Problems) -> Node:
    given = node.mapping
    if given is None:
        problems.add(node.mark, f"option {name} must be a mapping, not {node.kind}")
        return _mapping(node.mark, {})
    kind = given["type"].value if "type" in given else "str"
    found = dict(_typed(name, str(kind), node, problems))
    if "elements" in given or ("options" in given and kind == "list"):
        elements = str(given["elements"].value) if "elements" in given else "dict"
        found["items"] = _mapping(node.mark, _typed(name, elements, node, problems))
        if elements == "dict" and "options" in given:
            found["items"] = _object(given["options"], problems)
    elif kind == "dict" and "options" in given:
        found.update(_object(given["options"], problems).mapping or {})
    if "choices" in given:
        found["enum"] = given["choices"]
    if "default" in given and given["default"].value is not None:
        found["default"] = given["default"]
    if _is_true(node, "no_log"):
        found["writeOnly"] = _node(node.mark, True)
    if "description" in given:
        text = plain(given["description"])
        words = " ".join(map(str, text)) if isinstance(text, list) else str(text)
        found["description"] = _node(given["description"].mark, words)
    return _mapping(node.mark, found)


def _typed(name: str, kind: str, node: Node, problems: Problems) -> Mapping[str, Node]:
    if kind not in _TYPES:
        known = ", ".join(sorted(_TYPES))
        problems.add(node.mark, f"option {name} has the type '{kind[:40]}'", f"known: {known}")
        return {}
    schema = _SIZES if kind in ("bytes", "bits") else _TYPES[kind]
    return {} if schema is None else {"type": _node(node.mark, schema)}


def _is_true(node: Node, key: str) -> bool:
    found = (node.mapping or {}).get(key)
    return found is not None and found.value in (True, "yes", "Yes", "on")


def _mapping(mark: Mark, values: Mapping[str, Node]) -> Node:
    return Node(mark, dict(values), dict.fromkeys(values, mark))


def _node(mark: Mark, value: object) -> Node:
    match value:
        case dict():
            return _mapping(mark, {key: _node(mark, inner) for key, inner in value.items()})
        case list():
            return Node(mark, tuple(_node(mark, inner) for inner in value))
        case None | str() | bool() | int() | float():
            return Node(mark, value)
        case _:
            raise TypeError(type(value).__name__)
