import asyncio
import shlex
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.content.render import Renderer, RendererError, RenderError
from rackwright.engine.content.template import environment


def rendered(source: str, context: Mapping[str, object] | None = None) -> str:
    async def run() -> str:
        async with Renderer() as renderer:
            return await renderer.render("a/b.sh", source, context or {})

    return asyncio.run(run())


def refusal(source: str, context: Mapping[str, object] | None = None) -> str:
    with pytest.raises(RenderError) as caught:
        rendered(source, context)
    return str(caught.value)


def test_values_are_quoted_for_the_shell() -> None:
    assert rendered("echo {{ x | q }}", {"x": "a'; reboot #"}) == """echo 'a'"'"'; reboot #'"""


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_a_quoted_value_is_one_word_to_a_shell(text: str) -> None:
    found = environment().from_string("{{ x | q }}").render(x=text)
    assert shlex.split(found) == [text]


@pytest.mark.parametrize("value", [None, True, {}, [], "a\0b"])
def test_what_is_no_word_is_not_quoted(value: object) -> None:
    assert "q" in refusal("{{ x | q }}", {"x": value})


def test_shell_syntax_is_left_alone() -> None:
    source = 'n=${#array[@]}\nx="${y%.*}"\n{{# a remark #}}{% if true %}\nz\n{% endif %}\n'
    assert rendered(source) == 'n=${#array[@]}\nx="${y%.*}"\nz\n'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n{{ y }}", "a/b.sh:2: 'y' is undefined"),
        ("{{ x.y }}", "has no attribute 'y'"),
        ("{{ y | q }}", "'y' is undefined"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ '' | attr('format') }}", "No filter named 'attr'"),
        ("{{ ''['__class__'] }}", "unsafe"),
        ("{{ '{0.__class__}'.format(1) }}", "unsafe"),
        ("{{ [x] | map(attribute='__class__') | list }}", "unsafe"),
        ("{{ [''.join] }}", "cannot be written out"),
        ("{{ {'a': [range]} }}", "cannot be written out"),
        ("{{ range.__globals__ }}", "unsafe"),
        ("{{ self._TemplateReference__context }}", "unsafe"),
        ("{{ ''.join }}", "cannot be written out"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{% include 'x' %}", "not available"),
        ("{{ x.append(1) }}", "no attribute"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' * 10 ** 9 }}", "too much memory"),
        ("{{ 'a' * 300000 }}", "longer than 262144"),
        ("{% for i in range(90000) %}aaaa{% endfor %}", "longer than 262144"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recurses"),
        ("{{ range(10 ** 9) | list }}", "Range too big"),
    ],
)
def test_what_a_template_does_wrong_is_refused_without_a_leak(source: str, message: str) -> None:
    text = refusal(source, {"x": "plain"})
    assert message in text
    assert "object at 0x" not in text


def test_an_endless_template_is_ended_and_the_next_one_rendered() -> None:
    spin = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

    async def run() -> tuple[str, str]:
        async with Renderer(workers=1, cpu_s=0.3) as renderer:
            await renderer.render("warm", "x", {})
            with pytest.raises(RenderError) as caught:
                await renderer.render("spin", spin, {})
            return str(caught.value), await renderer.render("good", "{{ x }}", {"x": 7})

    message, text = asyncio.run(run())
    assert message.startswith("spin: it uses more than 0.3 s of CPU")
    assert text == "7"


def test_only_plain_values_go_in() -> None:
    with pytest.raises(RendererError, match="not plain JSON"):
        rendered("x", {"x": object()})


def test_a_changed_source_is_compiled_again_under_the_same_name() -> None:
    async def run() -> list[str]:
        async with Renderer(workers=1) as renderer:
            return [
                await renderer.render("s", text, {"x": 1}) for text in ("a{{x}}", "b", "a{{x}}")
            ]

    assert asyncio.run(run()) == ["a1", "b", "a1"]


def test_many_renders_share_few_workers() -> None:
    async def run() -> list[str]:
        async with Renderer(workers=2) as renderer:
            asked = (renderer.render("s", "{{ x }}", {"x": i}) for i in range(50))
            found = await asyncio.gather(*asked)
            assert len(renderer._free) <= 2
            return list(found)

    assert asyncio.run(run()) == [str(i) for i in range(50)]


def test_a_cancelled_render_leaves_no_process() -> None:
    spin = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

    async def run() -> str:
        async with Renderer(workers=1) as renderer:
            await renderer.render("warm", "x", {})
            worker = renderer._free[0]
            task = asyncio.create_task(renderer.render("spin", spin, {}))
            for _ in range(10):  # turns of the loop, until the worker has the request
                await asyncio.sleep(0)
            assert not renderer._free
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert worker.process.returncode is not None
            return await renderer.render("good", "y", {})

    assert asyncio.run(run()) == "y"


def test_a_closed_renderer_refuses() -> None:
    async def run() -> None:
        renderer = Renderer()
        await renderer.close()
        await renderer.close()
        with pytest.raises(RendererError):
            await renderer.render("s", "x", {})

    asyncio.run(run())


@settings(max_examples=8, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=5)))
def test_a_worker_gives_what_jinja_gives(values: dict[str, object]) -> None:
    source = "{% for k in v | sort %}{{ k }}={{ v[k] | string | q }}\n{% endfor %}"
    values = {k: str(x).replace("\0", "") for k, x in values.items()}
    assert rendered(source, {"v": values}) == environment().from_string(source).render(v=values)
