"""Checks params against a role's JSON Schema; mistakes point at the line that set the value.

Only local references are followed, so that validation opens no connection. A top level without
``additionalProperties`` is closed: a misspelt param is a mistake, not a no-op. A property marked
``writeOnly`` may not be set at all: plans are stored and shown, and hold no secrets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from rackwright.engine.content.errors import Mark, Problems, near
from rackwright.engine.content.role import RoleSpec
from rackwright.engine.content.yaml_source import Node, locate, overlay, plain


def check_schema(role: RoleSpec, problems: Problems) -> bool:
    """Whether the role's own schema can be used; mistakes point into its role.yaml."""
    if role.params is None:
        return True
    if role.schema.get("type", "object") != "object":
        problems.add(role.params.mark, f"params of role {role.name} must be of type object")
        return False
    remote = _remote_reference(role.params)
    if remote is not None:
        problems.add(
            remote.mark, f"$ref '{remote.value}' leaves the file", "only '#/...' is followed"
        )
        return False
    try:
        Draft202012Validator.check_schema(dict(role.schema))
    except SchemaError as error:
        problems.add(
            locate(role.params, list(error.absolute_path)),
            f"params of role {role.name} are no JSON Schema: {error.message[:200]}",
        )
        return False
    return True


def merged_params(
    role: RoleSpec,
    layers: Sequence[Node | None],
    missing_at: Mark,
    problems: Problems,
    wanting: set[str] | None = None,
) -> Mapping[str, object] | None:
    """Defaults filled in, ``layers`` (lowest first) laid over them, validated; None if wrong.

    ``missing_at`` is where a missing param is reported. With ``wanting``, more layers may come:
    params that are missing still are put there, they are no mistakes, and the answer is None.
    """
    merged: Node | None = None
    for layer in layers:
        if layer is not None and layer.mapping is not None:
            merged = overlay(merged, layer)
    given = plain(merged) if merged is not None else {}
    schema = _closed(role.schema)
    values = _with_defaults(given, schema, 0)
    mine = Problems()  # apart: a mistake that another stage made too is still a mistake
    if merged is not None:
        _refuse_secrets(role, schema, merged, mine)
    try:
        for error in Draft202012Validator(schema).iter_errors(values):
            if wanting is not None and list(error.absolute_schema_path) == ["required"]:
                wanting.update(_absent(error))
                continue
            _report(role, error, merged, missing_at, mine)
    except RecursionError:
        mine.add(missing_at, f"the params schema of role {role.name} refers to itself")
    problems.extend(mine)
    if mine.found or wanting:
        return None
    return values if isinstance(values, dict) else None


def declared_params(role: RoleSpec) -> tuple[str, ...]:
    properties = role.schema.get("properties")
    return tuple(properties) if isinstance(properties, dict) else ()


def is_open(role: RoleSpec) -> bool:
    """Whether params may have names that the schema does not list."""
    return bool(role.schema.get("additionalProperties") or role.schema.get("patternProperties"))


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    closed = dict(schema)
    if not any(k in closed for k in ("additionalProperties", "patternProperties", "$ref", "allOf")):
        closed["additionalProperties"] = False
    return closed


def _with_defaults(value: Any, schema: Any, depth: int) -> Any:
    if not isinstance(value, dict) or not isinstance(schema, Mapping) or depth > 25:
        return value
    filled = dict(value)
    properties = schema.get("properties")
    for name, inner in (properties if isinstance(properties, dict) else {}).items():
        if name not in filled and isinstance(inner, dict) and "default" in inner:
            filled[name] = inner["default"]
        if name in filled:
            filled[name] = _with_defaults(filled[name], inner, depth + 1)
    return filled


def _absent(error: ValidationError) -> list[str]:
    present = error.instance if isinstance(error.instance, dict) else {}
    needed = error.validator_value if isinstance(error.validator_value, list) else []
    return [str(name) for name in needed if name not in present]


def _report(
    role: RoleSpec,
    error: ValidationError,
    merged: Node | None,
    missing_at: Mark,
    problems: Problems,
) -> None:
    path = list(error.absolute_path)
    mark = locate(merged, path) if merged is not None and path else missing_at
    name = ".".join(str(p) for p in path)
    if error.validator == "required" and isinstance(error.validator_value, list):
        for missing in _absent(error):
            full = f"{name}.{missing}" if name else str(missing)
            problems.add(
                mark,
                f"param '{full}' of role {role.name} is not set",
                f"set it under params: {{{role.name}: {{{full}: ...}}}}",
            )
        return
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {})) if isinstance(error.schema, dict) else []
        for extra in (key for key in error.instance if key not in known):
            place = locate(merged, [*path, extra]) if merged is not None else missing_at
            problems.add(place, f"role {role.name} has no param '{extra}'", near(extra, known))
        return
    about = f"param '{name}'" if name else "params"
    problems.add(mark, f"{about} of role {role.name}: {_message(error)}", _wanted(error))


def _message(error: ValidationError) -> str:
    if error.validator == "type":
        return f"{_shown(error.instance)} is not of type {error.validator_value}"
    if error.validator == "enum":
        return f"{_shown(error.instance)} is not allowed"
    return str(error.message)[:200]


def _wanted(error: ValidationError) -> str:
    if error.validator == "enum" and isinstance(error.validator_value, list):
        return near(str(error.instance), [str(v) for v in error.validator_value])
    is_text_wanted = error.validator == "type" and error.validator_value == "string"
    if is_text_wanted and isinstance(error.instance, bool | int | float):
        return "quote it"
    if isinstance(error.schema, dict) and isinstance(error.schema.get("description"), str):
        return str(error.schema["description"])[:200]
    return ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_secrets(
    role: RoleSpec, schema: Mapping[str, Any], merged: Node, problems: Problems
) -> None:
    properties = schema.get("properties")
    for name, inner in (properties if isinstance(properties, dict) else {}).items():
        is_set = merged.mapping is not None and name in merged.mapping
        if is_set and isinstance(inner, dict) and inner.get("writeOnly") is True:
            problems.add(
                locate(merged, [name]),
                f"param '{name}' of role {role.name} is secret and may not stand in a plan",
                "mint it with the stage's secrets",
            )


def _remote_reference(node: Node) -> Node | None:
    if node.mapping is not None:
        for key in ("$ref", "$dynamicRef"):
            found = node.mapping.get(key)
            if found is not None and not str(found.value).startswith("#"):
                return found
        children: Sequence[Node] = tuple(node.mapping.values())
    else:
        children = node.items or ()
    return next((r for r in map(_remote_reference, children) if r is not None), None)
