from rackwright.engine.content.errors import ContentErrors, Mark, Problems
from rackwright.engine.content.role import RoleSpec, parse_role
from rackwright.engine.content.schema import check_schema, merged_params
from rackwright.engine.content.yaml_source import Node, parse

STAGES = "stages: {s: {verify: v.sh}}\n"
ROLE = (
    STAGES
    + """\
params:
  type: object
  required: [net]
  properties:
    net: {type: string, pattern: '^10\\.'}
    count: {type: integer, default: 3, minimum: 1}
    dns:
      type: object
      default: {}
      properties: {ttl: {type: integer, default: 60}, names: {type: array, items: {type: string}}}
"""
)
AT = Mark("w.yaml", 1, 1)


def role(text: str = ROLE) -> RoleSpec:
    return parse_role("x/y", text, "role.yaml")


def merged(*layers: str, of: RoleSpec | None = None) -> object:
    problems = Problems()
    nodes: list[Node | None] = [
        parse(text, f"layer{index}.yaml") for index, text in enumerate(layers)
    ]
    values = merged_params(of or role(), nodes, AT, problems)
    try:
        problems.check()
    except ContentErrors as errors:
        assert values is None
        return str(errors)
    return values


def test_defaults_are_filled_in_at_every_depth() -> None:
    assert merged("net: '10.1'") == {"net": "10.1", "count": 3, "dns": {"ttl": 60}}
    assert merged("net: '10.1'\ndns: {names: [a]}") == {
        "net": "10.1",
        "count": 3,
        "dns": {"names": ["a"], "ttl": 60},
    }


def test_later_layers_win_by_key() -> None:
    assert merged("net: '10.1'\ncount: 4\ndns: {ttl: 1}", "dns: {ttl: 2}") == {
        "net": "10.1",
        "count": 4,
        "dns": {"ttl": 2},
    }


def test_a_mistake_points_at_the_layer_that_made_it() -> None:
    assert merged("net: '10.1'", "\ncount: many") == (
        "layer1.yaml:2:8: param 'count' of role x/y: 'many' is not of type integer"
    )
    assert str(merged("net: '10.1'\ndns: {names: [a, 5]}")).startswith("layer0.yaml:2:18: ")
    assert merged("net: 10.1") == (
        "layer0.yaml:1:6: param 'net' of role x/y: 10.1 is not of type string (quote it)"
    )
    assert str(merged("net: '11.1'")).startswith("layer0.yaml:1:6: ")


def test_what_is_missing_or_unknown_is_said() -> None:
    assert str(merged()).startswith("w.yaml:1:1: param 'net' of role x/y is not set (")
    assert merged("net: '10.1'\ncuont: 3") == (
        "layer0.yaml:2:8: role x/y has no param 'cuont' (did you mean 'count'?)"
    )


def test_a_role_without_params_takes_none() -> None:
    assert merged(of=role(STAGES)) == {}
    assert "has no param 'a'" in str(merged("a: 1", of=role(STAGES)))


def test_a_secret_may_not_be_set() -> None:
    text = STAGES + "params: {properties: {key: {type: string, writeOnly: true}}}\n"
    found = str(merged("key: hunter2", of=role(text)))
    assert "is secret" in found
    assert "hunter2" not in found


def test_a_schema_that_is_wrong_or_leaves_the_file_is_refused() -> None:
    for params in (
        "{type: array}",
        "{properties: {a: {type: text}}}",
        "{properties: {a: {items: {$ref: 'https://10.0.0.1/s'}}}}",
        "{properties: {a: {$ref: 'file:///etc/passwd'}}}",
    ):
        problems = Problems()
        assert not check_schema(role(f"{STAGES}params: {params}\n"), problems)
        assert problems.found == 1


def test_a_schema_that_refers_to_itself_ends() -> None:
    found = merged("a: 1", of=role(STAGES + "params: {$ref: '#'}\n"))
    assert "refers to itself" in str(found)
