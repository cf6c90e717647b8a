import pytest

from rackwright.engine.content.errors import ContentErrors, Problems
from rackwright.engine.content.names import ANYTHING, FIXED, Shape, check_names, leaves, read_script

KNOWN = {
    **FIXED,
    "params": Shape({"os": ANYTHING}, frozenset(("suffix",)), "param"),
    "outputs": Shape({"init": leaves(("addr", "by_machine"), "output")}, what="stage"),
    "files": leaves(("a.tar",), "file"),
    "artifacts": ANYTHING,
}


def found(source: str) -> str:
    problems = Problems()
    script = read_script(source, "s.sh", problems)
    if script is not None:
        check_names(script, KNOWN, problems)
    try:
        problems.check()
    except ContentErrors as errors:
        return str(errors)
    return ""


@pytest.mark.parametrize(
    "source",
    [
        "{{ params.os }} {{ params['os'] }}",
        "{{ outputs.init.addr }} {{ outputs['init']['by_machine'].values() | list }}",
        "{% for d in machine.drives %}{{ d.serial }}{{ loop.index }}{% endfor %}",
        "{% set x = machine.name %}{{ x }}",
        "{% if erase %}{% set y = 1 %}{{ y }}{% endif %}",
        "{% if params.suffix is defined %}{{ params.suffix }}{% endif %}",
        "{{ params.suffix | default('x') }}",
        "{{ params.get('anything') }}",
        "{{ range(3) | list }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}",
        "{{ machine.labels.anything }}",
        "{{ outputs.later.x is defined }}",
        "{{ (erase.install_id if erase else installed.install_id) | q }}",
        "${#array[@]} ${x%%y}",
    ],
)
def test_names_that_are_given_pass(source: str) -> None:
    assert found(source) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n  {{ parms.os }}", "s.sh:2:6: undefined name 'parms' (did you mean 'params'?)"),
        ("{{ params['ow'] }}", "s.sh:1:4: undefined param 'params.ow' (did you mean 'os'?)"),
        ("{{ params.suffix }}", "s.sh:1:4: param 'params.suffix' is not set and has no default"),
        ("{{ outputs.later.x }}", "s.sh:1:4: undefined stage 'outputs.later'"),
        ("{{ outputs.init.adr }}", "s.sh:1:4: undefined output 'outputs.init.adr'"),
        ("{{ files.b }}", "s.sh:1:4: undefined file 'files.b'"),
        ("{% for d in machine.disks %}{% endfor %}", "s.sh:1:13: undefined machine field"),
        ("{{ x | q(params.ow) }}", "s.sh:1:10: undefined param 'params.ow'"),
        ("{{ machine[params.ow] }}", "s.sh:1:12: undefined param 'params.ow'"),
        ("{{ loop.index }}", "s.sh:1:4: undefined name 'loop'"),
        ("{% if %}", "s.sh:1:1: the template does not compile"),
        ("\n{{ x | nope }}", "s.sh:2:1: the template does not compile: No filter named 'nope'."),
        ("{% set run = 1 %}", "s.sh:1:8: 'run' is given to templates"),
        ("{% import 'x' as y %}", "s.sh:1:1: the template does not compile: 'import'"),
    ],
)
def test_names_that_are_not_given_are_found(source: str, message: str) -> None:
    assert message in found(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10 ** 10 }}",
        "{% set x = 'a' * 10 ** 10 %}",
        "{% if 'a' | center(10 ** 10) %}{% endif %}",
        "{{ x ~ 'a' * 10 ** 10 }}",
    ],
)
def test_checking_evaluates_nothing(source: str) -> None:
    """10 GB would be asked for here, and MemoryError or the machine's end would follow."""
    found(source)


def test_a_template_of_any_nesting_is_answered() -> None:
    assert "nested too deeply" in found("{{ " + "(" * 5000)
    assert "longer than" in found("x" * 300_000)
