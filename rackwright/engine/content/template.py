"""The templates' language: sandboxed Jinja2 with strict undefined names and shell quoting.

Two deviations from Jinja's defaults, both for shell: comments are ``{{# ... #}}``, because
``${#array[@]}`` would open one; and a block tag alone on its line leaves no blank line.
Rendering happens in a worker process (``render``); here nothing is rendered.
"""

import shlex
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE_CHARS = 256 << 10
_GLOBALS = ("range", "dict", "namespace")
_REMOVED_FILTERS = ("attr", "random", "pprint", "urlize", "xmlattr")
_PLAIN = (str, int, float, StrictUndefined, type(None))


def shell_quote(value: object) -> str:
    """One shell word. Undefined values fail; booleans and None are refused, being no words."""
    if isinstance(value, StrictUndefined):
        return str(value)  # raises UndefinedError
    if value is None or isinstance(value, bool | dict | list | tuple):
        raise TypeError(f"q needs a string or a number, not {type(value).__name__}")
    text = str(value)
    if "\0" in text:
        raise ValueError("q: a NUL byte cannot be passed to a shell")
    return shlex.quote(text)


@pass_context
def _only_plain(_: Context, value: Any) -> Any:
    """Functions and objects are no text. Taking the context also keeps Jinja from evaluating
    constant output (``'a' * 10**9``) while it compiles, in the wrong process."""
    _refuse_objects(value, 0)
    return value


def _refuse_objects(value: Any, depth: int) -> None:
    if isinstance(value, list | tuple | dict) and depth < 30:
        for inner in value.items() if isinstance(value, dict) else value:
            _refuse_objects(inner, depth + 1)
        return
    if isinstance(value, StrictUndefined) and depth:
        str(value)  # raises: inside a list it would be written as "Undefined"
    if not isinstance(value, _PLAIN):
        raise TypeError(f"a {type(value).__name__} cannot be written out")


def environment() -> ImmutableSandboxedEnvironment:
    """A fresh environment. It loads nothing: include, import and extends are refused."""
    env = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        comment_start_string="{{#",
        comment_end_string="#}}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is shell, quoted by the filter q
        cache_size=0,
        optimized=False,  # folds constants while compiling
        finalize=_only_plain,
    )
    env.globals = {name: env.globals[name] for name in _GLOBALS}
    for name in _REMOVED_FILTERS:
        env.filters.pop(name, None)
    env.filters["q"] = shell_quote
    return env


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.ScopedEvalContextModifier: "autoescape",
}


def parse_template(env: ImmutableSandboxedEnvironment, source: str) -> nodes.Template:
    """The syntax tree; evaluates nothing. Raises TemplateSyntaxError (unknown filters too)."""
    if len(source) > MAX_SOURCE_CHARS:
        raise TemplateSyntaxError(f"longer than {MAX_SOURCE_CHARS} characters", 1)
    try:
        tree = env.parse(source)
        for kind, word in _REFUSED.items():
            for found in tree.find_all(kind):
                raise TemplateSyntaxError(f"'{word}' is not available", found.lineno)
        env.compile(tree, raw=True)  # raw: Python source only; finds unknown filters and tests
    except RecursionError as error:
        raise TemplateSyntaxError("nested too deeply", 1) from error
    return tree


def compile_template(env: ImmutableSandboxedEnvironment, source: str) -> Any:
    """A jinja2 Template, ready to be rendered in the worker."""
    parse_template(env, source)
    return env.from_string(source)
