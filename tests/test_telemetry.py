"""The table of log events is the truth: what is logged is in it, and what is in it is logged."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import structlog

from gristmill import telemetry

SOURCES = Path(telemetry.__file__).parent
LEVELS = {"debug", "info", "warning", "error"}


def table() -> dict[str, set[str]]:
    """Event → its fields, as the module's docstring has them."""
    rows = re.findall(r"^\| ([a-z_., ]+) \| ([a-z_, 0-9]*) \|", telemetry.__doc__ or "", re.MULTILINE)
    return {name: set(fields.split(", ")) for names, fields in rows for name in names.split(", ") if "." in name}


def logged() -> dict[str, set[str]]:
    """Event → the fields it is logged with anywhere in the source."""
    found: dict[str, set[str]] = {}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log"), attr=level), args=[ast.Constant(str(name)), *_]
                ):
                    if level in LEVELS:
                        fields = {keyword.arg for keyword in node.keywords if keyword.arg}
                        found.setdefault(name, set()).update(fields)
    return found


def test_every_event_is_in_the_table_and_the_other_way_round() -> None:
    assert set(logged()) == set(table())


def test_events_have_the_fields_that_the_table_says() -> None:
    told = table()
    wrong = {name: fields ^ told[name] for name, fields in logged().items() if fields != told[name]}
    assert wrong == {}


def test_an_error_is_placed_without_being_quoted() -> None:
    def parse() -> None:
        raise ValueError("row 7 is 'Ann, 4711'")

    try:
        parse()
    except ValueError as error:
        placed = telemetry.frames(error)
    assert [frame.split()[-1] for frame in placed][-1] == "parse"
    assert "4711" not in " ".join(placed)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored_logging")
def test_json_lines_are_json_and_the_level_is_kept() -> None:
    with redirect_stderr(io.StringIO()) as said:
        telemetry.configure_logging("info", "json")
        log = telemetry.get_logger("gristmill.test")
        log.info("api.started", host="127.0.0.1", port=8000)
        log.debug("api.stopped", host="127.0.0.1", port=8000)
        logging.getLogger("somebody.else").warning("of another library")
    first, second = (json.loads(line) for line in said.getvalue().splitlines())
    assert (first["event"], first["level"], first["port"]) == ("api.started", "info", 8000)
    assert (second["event"], second["level"]) == ("of another library", "warning")
