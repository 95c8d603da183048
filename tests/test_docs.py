"""The docs are whole and true: what the code has is documented, and what the docs name is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from docs import reference
from docs.examples import gaps, gaps_cases
from gristmill.api.problems import STATUS
from gristmill.cli import app
from gristmill.domain.column import Column
from gristmill.domain.job import TRANSITIONS
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.metrics import REGISTRY
from gristmill.processors import describe, discover
from gristmill.processors.run import Part, run
from gristmill.settings import Settings
from tests.test_telemetry import table

ROOT = Path(__file__).parents[1]
WRITTEN = [
    path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts and "_build" not in path.parts
]
PAGES = reference.pages()
# What is in capitals and no setting of ours.
OTHERS = {
    *("API", "CPU", "CSV", "JSON", "LIMIT", "SIGTERM", "METRICS", "COMMIT", "S3", "SHA", "UTC", "README", "BIRDS"),
    *("API_PUBLISH", "S3_PUBLISH", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER"),
}


def rows(page: str) -> dict[str, list[str]]:
    """First cell of each row of a page's tables → the other cells."""
    cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGES[page].splitlines() if line.startswith("| "))
    return {first.strip(): [cell.strip() for cell in others] for first, *others in cells}


def test_every_setting_is_told_with_its_default() -> None:
    told = {name.split("`")[1]: cells for name, cells in rows("settings").items() if name.startswith("`")}
    assert told.keys() == {name.upper() for name in Settings.model_fields}
    assert all(default and what for default, what in told.values())


def test_every_event_is_told() -> None:
    told = {event for names in rows("events") for event in re.findall(r"`([a-z_.]+)`", names)}
    assert told == table().keys()
    assert all(cells[-1] for cells in rows("events").values())


def test_every_problem_is_told() -> None:
    told = {code.strip("`"): cells for code, cells in rows("problems").items() if code.startswith("`")}
    assert told.keys() == {error.code for error in reference.every_error()}
    assert STATUS.keys() - {"method-not-allowed"} == told.keys()
    assert all(title and when for _, title, when in told.values())
    assert {error.__name__ for error in reference.every_error()} <= reference.error_tree().keys()


def test_every_metric_is_told() -> None:
    exposed = {f"{family.name}{'_total' * (family.type == 'counter')}" for family in REGISTRY.collect()}
    told = {name.strip("`") for name in rows("metrics") if name.startswith("`")}
    assert {name for name in exposed if name.startswith("gristmill_")} - {"gristmill_build"} == told - {
        "gristmill_build_info"
    }
    assert all(cells[-1] for cells in rows("metrics").values())


@pytest.mark.parametrize("kind", discover())
def test_every_processor_and_param_is_told(kind: str) -> None:
    (section,) = re.findall(rf"^## `{kind}`\n(.*?)(?=^## |\Z)", PAGES["processors"], re.MULTILINE | re.DOTALL)
    described: dict[str, Any] = describe(discover()[kind])
    assert described["description"].splitlines()[0] in section
    for name in described["params_schema"]["properties"]:
        assert f"| `{name}` |" in section


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def test_every_command_is_told() -> None:
    for path, command in commands(typer.main.get_command(app)):
        assert command.help, path
        assert not path or f"`gristmill {' '.join(path)}`" in PAGES["command-line"]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.stem)
def test_what_a_page_tells_to_run_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    known = {path for path, _ in commands(typer.main.get_command(app))}
    for line in re.findall(r"(?:^|`|\| |then )gristmill ([a-z][a-z -]*)", text, re.MULTILINE):
        words = tuple(line.split())
        assert any(words[:length] in known for length in (1, 2)), line
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.stem)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b[^`]*`", page.read_text("utf-8")))
    assert named <= {name.upper() for name in Settings.model_fields} | OTHERS


def test_the_states_are_drawn_as_they_are() -> None:
    drawn = (ROOT / "docs/explanation/states.svg").read_text("utf-8")
    edges = set(re.findall(r'data-from="(\w+)" data-to="(\w+)"', drawn))
    assert edges == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}
    assert set(re.findall(r'data-status="(\w+)"', drawn)) == set(TRANSITIONS)


class Nowhere:
    """An output that keeps the names of what is written."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        raise AssertionError("the example has no table")

    def document(self, name: str, content: bytes, media_type: str) -> None:
        self.names.append(name)


@pytest.mark.parametrize("cut", [1, 2])
def test_the_example_of_a_processor_works_whole_and_in_parts(cut: int) -> None:
    (case,) = gaps_cases.CASES.values()
    frame: Any = case["frame"]
    columns = [Column(name, str(kind)) for name, kind in frame.schema.items()]
    parts = [Part(part.lazy, part.height) for part in frame.iter_slices(-(-frame.height // cut))]
    output = Nowhere()
    params = gaps.GapsParams(**case["params"])  # type: ignore[arg-type]
    found = run(gaps.CountGaps(), params=params, columns=columns, parts=parts, output=output, progress=lambda _: None)
    assert found.report | case["report"] == found.report  # type: ignore[operator]
    assert output.names == ["report.json"]
    assert describe(gaps.CountGaps())["description"] == "Counts the rows that have a null in one of the columns. Exact."
