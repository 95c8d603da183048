"""The reference pages, written from the code each time the site is built: what they say can't be out of date.

`pages()` is what the tests look at; `setup` makes this a Sphinx extension that writes them before anything is read.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import typer
from prometheus_client import Counter, Gauge
from pydantic_core import PydanticUndefined

from gristmill import errors, metrics, telemetry
from gristmill.api.access import ACCESS
from gristmill.api.problems import RETRY_AFTER, STATUS
from gristmill.cli import app, exits
from gristmill.cli.app import WITHOUT_JSON
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import FINAL, TRANSITIONS, JobEvent, JobStatus
from gristmill.errors import GristmillError
from gristmill.processors import AnyProcessor, describe, discover
from gristmill.settings import Settings

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "reference"
TREE_LINE = re.compile(r"^[\s│├└─]*(?P<name>[A-Z]\w+)(?:\s{2,}(?P<what>.*))?$")
EVENT_LINE = re.compile(r"^\| ([a-z_., ]+\.[a-z_., ]+) \| ([a-z_, 0-9]*) \| (.*) \|$")


def pages() -> dict[str, str]:
    """Name → Markdown of every reference page."""
    made: Mapping[str, Callable[[], Iterator[str]]] = {
        "settings": settings,
        "command-line": command_line,
        "processors": processors,
        "states": states,
        "problems": problems,
        "operations": operations,
        "metrics": metric_table,
        "events": events,
    }
    return {name: "\n".join(page()) + "\n" for name, page in made.items()}


def settings() -> Iterator[str]:
    yield "# Settings\n"
    yield "From the environment or `.env`; the environment goes before. A secret may come from a file:"
    yield "`POSTGRES_PASSWORD_FILE` stands for `POSTGRES_PASSWORD`. Traces have settings of their own, the `OTEL_*`"
    yield "variables of OpenTelemetry: see [Watch it](../how-to/observe.md).\n"
    rows = []
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", ())
        others = "".join(f", or {code(str(choice))}" for choice in choices[1:])
        default = "must be set" if field.default is PydanticUndefined else _default(field.default)
        rows.append((f"{code(name.upper())}{others}", default, field.description or ""))
    yield from table(("setting", "default", "what it is"), rows)


def _default(value: object) -> str:
    if value is None or value == "":
        return "–"
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def command_line() -> Iterator[str]:
    yield "# Command line\n"
    yield "`make setup` puts `gristmill` into `.venv/bin/`. Every command has `--help`.\n"
    yield f"## Exit codes\n\n{inspect.cleandoc(exits.__doc__ or '').partition(chr(10))[2].strip()}\n"
    yield from _command(typer.main.get_command(app), ("gristmill",))


def _command(command: Any, path: Sequence[str]) -> Iterator[str]:
    """A command and those under it, looked at by form: Typer's own copies of click's classes are not click's."""
    context = click.Context(command, info_name=" ".join(path))
    if len(path) > 1:
        yield f"\n{'#' * min(len(path), 4)} `{' '.join(path)}`\n"
    if command.help:
        prose, _, examples = inspect.cleandoc(command.help).partition("\b\n")
        yield f"{prose.strip()}\n"
        if examples:
            yield f"```console\n{inspect.cleandoc(examples.partition(chr(10))[2])}\n```\n"
    if path[-1] in WITHOUT_JSON:
        yield f"It has no `--json`: it {WITHOUT_JSON[path[-1]]}.\n"
    rows = [row for parameter in command.params for row in _parameter(parameter, context)]
    if rows:
        yield from table(("argument or option", "default", "what it is"), rows)
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from _command(inner, (*path, name))


def _parameter(parameter: Any, context: click.Context) -> Iterator[tuple[str, str, str]]:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return
    option = parameter.param_type_name == "option"
    named = ", ".join(map(code, parameter.opts)) if option else code(parameter.name.upper())
    default = parameter.get_default(context, call=False)
    shown = "required" if parameter.required else _default(default if default not in ((), [], False) else None)
    yield named, shown, getattr(parameter, "help", None) or ""


def processors() -> Iterator[str]:
    yield "# Processors\n"
    yield "Every kind of job that this version has, as `GET /processors` tells it too.\n"
    for kind, processor in discover().items():
        yield f"\n## `{kind}`\n"
        yield from _processor(processor)


def _processor(processor: AnyProcessor) -> Iterator[str]:
    told: dict[str, Any] = describe(processor)
    yield f"Version {told['version']}.\n"
    yield f"{plain(told['description'])}\n"
    schema = told["params_schema"]
    definitions = schema.get("$defs", {})
    yield from _params(schema, definitions)
    for name, inner in definitions.items():
        if "properties" in inner:
            yield f"\n**{name}**\n"
            if inner.get("description"):
                yield f"{plain(inner['description'])}\n"
            yield from _params(inner, definitions)
    yield "\nAn example of its params:\n"
    yield f"```json\n{_json(told['example'])}\n```"


def _params(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    rows = []
    for name, param in schema.get("properties", {}).items():
        default = "required" if name in required else code(_json(param.get("default"), indent=False))
        rows.append((code(name), _type(param, definitions), default, param.get("description", "")))
    if rows:
        yield from table(("param", "type", "default", "what it is"), rows)
    else:
        yield "It has no params."


def _type(param: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in param:
        name = str(param["$ref"]).rpartition("/")[2]
        named = definitions.get(name, {})
        return _type(named, definitions) if "enum" in named else name
    choices = [_type(item, definitions) for item in param.get("anyOf", ())]
    choices += [code(str(item)) for item in (*param.get("enum", ()), *([param["const"]] if "const" in param else ()))]
    return " or ".join(choices) or _plain_type(param, definitions)


def _plain_type(param: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    kind = str(param.get("type", "any"))
    if "prefixItems" in param:
        return f"[{', '.join(_type(item, definitions) for item in param['prefixItems'])}]"
    if kind == "array":
        return f"list of {_type(param.get('items', {}), definitions)}"
    if kind == "object" and isinstance(param.get("additionalProperties"), dict):
        return f"object of {_type(param['additionalProperties'], definitions)}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([kind, *(f"{sign} {param[key]}" for key, sign in signs.items() if key in param)])


def states() -> Iterator[str]:
    yield "# States and events of jobs\n"
    yield "How they follow each other is drawn in [States](../explanation/states.md).\n"
    rows = []
    for status, targets in TRANSITIONS.items():
        ends = "final; only `POST /jobs/{id}/retry` leads out" if status in FINAL and targets else ""
        rows.append((code(status), ", ".join(code(target) for target in JobStatus if target in targets) or "–", ends))
    yield from table(("status of a job", "may become", ""), rows)
    yield f"\nA dataset is {', '.join(code(status) for status in DatasetStatus)}.\n"
    yield "## Events\n"
    yield "The rows of `GET /jobs/{id}/events`:\n"
    yield from (f"- {code(event)}" for event in JobEvent)


def problems() -> Iterator[str]:
    yield "# Problems\n"
    yield "Every error is a problem of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), and so is the `error` of a"
    yield "failed job or dataset. Its `type` is `urn:gristmill:problem:` and the code; `errors` points at places in the"
    yield "input.\n"
    told = {**error_tree(), "MethodNotAllowed": "a method that the path does not take"}
    rows = [
        (code(error.code), str(STATUS.get(error.code, 500)), error.title, _when(error, told))
        for error in sorted(every_error(), key=lambda error: error.code)
    ]
    yield from table(("code", "status", "title", "when"), rows)


def _when(error: type[GristmillError], told: Mapping[str, str]) -> str:
    parts = [told.get(error.__name__, "") or error.title[0].lower() + error.title[1:]]
    if error.permanent:
        parts.append("a job is not tried again for it")
    if error.code in RETRY_AFTER:
        parts.append("has `Retry-After`")
    return "; ".join(parts)


def error_tree() -> dict[str, str]:
    """Class → what the tree in the docstring of `errors` says of it."""
    lines = (TREE_LINE.match(line) for line in (errors.__doc__ or "").splitlines())
    return {line["name"]: line["what"] or "" for line in lines if line is not None}


def every_error() -> list[type[GristmillError]]:
    found = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, GristmillError)]
    return [error for error in found if error is not GristmillError]


def operations() -> Iterator[str]:
    yield "# Operations and scopes\n"
    yield "What a running API serves, with schemas and examples, is at `/docs` and `/openapi.json`. Which scope a key"
    yield "needs for each operation; what is not listed nobody may do:\n"
    rows = [(code(name), "no key" if scope is None else code(scope)) for name, scope in ACCESS.items()]
    yield from table(("operation", "scope"), rows)


def metric_table() -> Iterator[str]:
    yield "# Metrics\n"
    yield "Served as `GET /metrics` by the API (a key with the scope `read`) and, where `METRICS_PORT` is set, by each"
    yield "worker."
    yield "A histogram has `_bucket`, `_sum` and `_count`. How to scrape them: [Watch it](../how-to/observe.md).\n"
    rows = [
        (code(name), kind, ", ".join(map(code, labels)) or "–", what) for name, kind, labels, what in every_metric()
    ]
    yield from table(("metric", "type", "labels", "what it is"), rows)
    yield "\nThe usual `process_*` metrics of the process itself are there too."


def every_metric() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and description of every metric of ours, in the order of the module."""
    for metric in vars(metrics).values():
        if isinstance(metric, metrics.Distribution):
            yield metric.name, "histogram", metric.labels, metric.documentation
        elif isinstance(metric, Counter | Gauge):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, tuple(metric._labelnames), family.documentation  # noqa: SLF001 (told nowhere else)
    yield "gristmill_build_info", "gauge", ("version",), "The version that runs."


def events() -> Iterator[str]:
    yield "# Log events\n"
    yield "Lines are JSON with `LOG_FORMAT=json`. Nothing of a user's data is in them: ids, counts, sizes, durations,"
    yield "kinds and codes only. Lines of a request or job that belongs to a trace also have its `trace_id`.\n"
    yield from table(("event", "fields", "when"), every_event())


def every_event() -> list[tuple[str, str, str]]:
    lines = (EVENT_LINE.match(line) for line in (telemetry.__doc__ or "").splitlines())
    return [
        (", ".join(map(code, line[1].split(", "))), ", ".join(map(code, line[2].split(", "))), line[3])
        for line in lines
        if line is not None
    ]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def code(text: str) -> str:
    return f"`{text}`"


def plain(text: str) -> str:
    """A docstring as Markdown: what is indented in it is meant as it stands."""
    return inspect.cleandoc(text).replace("<", "&lt;")


def _json(value: object, *, indent: bool = True) -> str:
    return json.dumps(value, indent=2 if indent else None, ensure_ascii=False)


def write(folder: Path) -> None:
    """Write the pages, and touch only what has changed, so that an unchanged page is not read again."""
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(sphinx: "Sphinx") -> dict[str, bool]:
    sphinx.connect("builder-inited", lambda app: write(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
