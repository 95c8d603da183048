"""What the command line does without a server."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gristmill.cli import app
from gristmill.cli.exits import Exit, exit_of_error
from gristmill.cli.given import params_of
from gristmill.cli.output import printable
from gristmill.client import Problem, UnexpectedAnswer, Unreachable, WaitTimedOut, WrongBytes
from gristmill.client.errors import BY_CODE, NeedsPolars, problem_error
from gristmill.ingest.options import Limits
from gristmill.settings import Settings
from gristmill.shown.figures import ago, seconds, size
from tests.cli.terminal import gristmill

FLAWED = "station,temperature\nUlm,11.5\nBonn,\nKiel,9.8\nJena,10.4\nUlm,10.9\nBonn,11.1\nKiel,980\nJena,10.2,9\n"
DATA = {"polars", "numpy"}
HEAVY = {"litestar", "sqlalchemy", "asyncpg", "pydantic_settings", "structlog", "aioboto3", "uvloop"}


def invoke(*arguments: str) -> Result:
    """A command in this process: a fresh one takes a second to import Polars."""
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    path = tmp_path / "readings.csv"
    path.write_text(FLAWED)
    return path


def loaded_by(*command: str) -> set[str]:
    """The packages that a command imports."""
    script = f"""
import sys
from gristmill.__main__ import main
sys.argv = ["gristmill", *{list(command)!r}]
try:
    main()
except SystemExit:
    print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("command", [["--help"], ["submit", "--help"], ["jobs", "--url", "http://127.0.0.1:1"]])
def test_it_starts_without_what_it_does_not_need(command: list[str]) -> None:
    loaded = loaded_by(*command)
    assert "typer" in loaded
    assert not loaded & (HEAVY | DATA)


def test_a_file_is_worked_on_without_the_servers_libraries(flawed: Path) -> None:
    loaded = loaded_by("run-local", str(flawed), "--kind", "metrics")
    assert "polars" in loaded
    assert not loaded & HEAVY


def test_every_command_has_help_with_an_example_or_is_for_operators() -> None:
    for command in ("submit", "watch", "result", "jobs", "cancel", "retry", "datasets", "kinds", "top", "profile",
                    "run-local"):  # fmt: skip
        said = invoke(command, "--help").stdout
        assert f"gristmill {command} " in said.split("Example", 1)[1], command
        assert "--json" in said
    assert "5 canceled" in " ".join(invoke("--help").stdout.split())


def test_a_file_is_profiled_and_its_flaws_are_told(flawed: Path) -> None:
    ended = invoke("profile", str(flawed))
    assert ended.exit_code == 0, ended.stderr
    assert "8 rows read = 7 loaded + 1 rejected" in ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert lines[2] == ["temperature", "Float64", "1", "6", "9.8", "980", "172.3", "–", "9.8"][:7] + lines[2][7:]
    assert json.loads(invoke("profile", str(flawed), "--json").stdout)["rows_rejected"] == 1


def test_a_job_is_done_on_a_file(flawed: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.json"
    params.write_text('{"method": "zscore", "columns": ["temperature"]}')
    command = ("run-local", str(flawed), "-k", "anomalies", "--params", f"@{params}", "-p", "method=modified_zscore")
    ended = invoke(*command)
    assert ended.exit_code == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert (report["method"], report["rows_flagged"]) == ("modified_zscore", 1)
    assert "7 rows in = 1 out + 6 dropped" in ended.stderr
    out = tmp_path / "found" / "rows.csv"
    assert invoke(*command, "-p", "output_format=csv", "-o", str(out)).exit_code == 0
    assert out.read_text().splitlines()[1].startswith("6,")
    assert sorted(path.name for path in out.parent.iterdir()) == ["rows.csv"]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("-k", "magic"), Exit.REFUSED, "There is no such kind; there are anomalies"),
        (("-k", "metrics", "-p", "columns=[7]"), Exit.REFUSED, "/params/columns/0"),
        (("-k", "metrics", "--option", "delimiter=abcdefghijk"), Exit.REFUSED, "/options"),
        (("-k", "metrics", "--format", "parquet"), Exit.REFUSED, "declared parquet"),
        (("-k", "metrics", "-p", "columns"), Exit.USAGE, "NAME=VALUE"),
        (("-k", "metrics", "--params", "[1]"), Exit.USAGE, "not a JSON object"),
        (("-k", "normalize", "-p", 'fitted_from="01890000-0000-7000-8000-000000000000"'), Exit.REFUSED, "API alone"),
    ],
)
def test_what_does_not_fit_is_told(flawed: Path, more: tuple[str, ...], code: Exit, words: str) -> None:
    ended = invoke("run-local", str(flawed), *more)
    assert ended.exit_code == code, ended.stderr
    assert words in " ".join(ended.stderr.split())


def test_usage_is_2_and_a_server_that_is_not_there_is_3(flawed: Path) -> None:
    assert gristmill("submit", "--kind", "metrics").returncode == Exit.USAGE
    assert gristmill("submit", str(flawed) + "x", "--kind", "metrics").returncode == Exit.USAGE
    assert gristmill("jobs", "--url", "nowhere").returncode == Exit.USAGE
    ended = gristmill("jobs", "--url", "http://127.0.0.1:1")
    assert (ended.returncode, ended.stdout) == (Exit.UNREACHABLE, "")
    assert ended.stderr.startswith("gristmill: http://127.0.0.1:1 does not answer")


def test_every_error_has_its_exit_code() -> None:
    codes = {code: exit_of_error(problem_error(Problem(type=f"urn:gristmill:problem:{code}"))) for code in BY_CODE}
    assert codes["unauthorized"] == codes["not-found"] == codes["invalid-request"] == Exit.REFUSED
    assert codes["database-unavailable"] == Exit.UNREACHABLE
    assert codes["memory-limit"] == codes["internal-error"] == Exit.FAILED
    assert codes["canceled"] == Exit.CANCELED
    others = [Unreachable(), WaitTimedOut(), NeedsPolars(), WrongBytes(), UnexpectedAnswer()]
    assert [exit_of_error(error) for error in others] == [3, 6, 2, 1, 1]


def test_params_are_json_or_texts_and_single_ones_go_first() -> None:
    given = ["a=1", "b=x", 'c=["y"]', "d=", "e=f=g"]
    assert params_of(given, '{"a": 2, "z": 3}') == {"a": 1, "z": 3, "b": "x", "c": ["y"], "d": "", "e": "f=g"}


def test_names_do_nothing_to_a_terminal() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc\nd"


def test_the_limits_are_those_of_a_server() -> None:
    for name in ("part_rows", "max_columns", "max_cell_bytes", "max_expanded_bytes"):
        assert getattr(Limits(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize(
    ("span", "words"),
    [(None, "–"), (0, "0 s"), (0.04, "0.1 s"), (0.41, "0.41 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7200, "2 h"),
     (3 * 86400 + 4 * 3600, "3 d 4 h")],
)  # fmt: skip
def test_spans_are_told_as_people_tell_them(span: float | None, words: str) -> None:
    assert seconds(span) == words


def test_sizes_and_ages_too() -> None:
    assert [size(count) for count in (5, 1500, 2_500_000, 3_000_000_000)] == ["5 B", "1.5 kB", "2.5 MB", "3.00 GB"]
    assert ago(datetime.now(UTC) - timedelta(minutes=3)) == "3 min ago"
