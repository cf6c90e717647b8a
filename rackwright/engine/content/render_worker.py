"""The process that renders templates: bounded, without secrets, files or network use of its own.

Wire: length-prefixed (4 bytes, big endian) JSON on stdin and stdout. A request is
``{"id", "source" (once per worker), "context", "cpu_s"}``; a reply ``{"text"}`` or ``{"error",
"line"}``. End of stdin ends the process. Started by ``render``; never imported by the product.
"""

import json
import math
import resource
import struct
import sys
from typing import Any, BinaryIO

from jinja2 import TemplateError, TemplateSyntaxError

from rackwright.engine.content.template import compile_template, environment

MAX_OUTPUT_CHARS = 256 << 10
_ADDRESS_SPACE_BYTES = 256 << 20
_LENGTH = struct.Struct(">I")


class OutputTooLargeError(Exception):
    """More than MAX_OUTPUT_CHARS came out."""


def bound_process() -> None:
    """No core, no files written, no children, little memory; irrevocable for this process."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


def allow_cpu(cpu_s: float) -> None:
    """The kernel ends this process (SIGXCPU) once it has used ``cpu_s`` more seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime + cpu_s)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def render_text(template: Any, context: dict[str, Any]) -> str:
    parts, size = [], 0
    for part in template.generate(context):
        size += len(part)
        if size > MAX_OUTPUT_CHARS:
            raise OutputTooLargeError
        parts.append(part)
    return "".join(parts)


def _template_line(error: BaseException) -> int:
    """The template line where it was raised: Jinja rewrites tracebacks of '<template>' frames."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def answer(templates: dict[str, Any], env: Any, request: dict[str, Any]) -> dict[str, Any]:
    """One reply. What a template does wrong is data, never an exception here."""
    try:
        if "source" in request:
            templates[request["id"]] = compile_template(env, request["source"])
        return {"text": render_text(templates[request["id"]], request["context"])}
    except OutputTooLargeError:
        return {"error": f"the output is longer than {MAX_OUTPUT_CHARS} characters", "line": 0}
    except MemoryError:
        return {"error": "it needs too much memory", "line": 0}
    except RecursionError:
        return {"error": "it recurses too deeply", "line": 0}
    except TemplateError as error:
        return {"error": str(error.message or type(error).__name__), "line": _template_line(error)}
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        return {"error": f"{type(error).__name__}: {error}"[:300], "line": _template_line(error)}


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    body = stream.read(_LENGTH.unpack(head)[0])
    found = json.loads(body)
    return found if isinstance(found, dict) else None


def main() -> None:
    bound_process()
    env, templates = environment(), {}  # type: ignore[var-annotated]
    while (request := _read(sys.stdin.buffer)) is not None:
        allow_cpu(float(request["cpu_s"]))
        reply = json.dumps(answer(templates, env, request)).encode()
        sys.stdout.buffer.write(_LENGTH.pack(len(reply)) + reply)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
