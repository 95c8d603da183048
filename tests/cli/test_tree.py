"""Promises of all commands at once: JSON for programs, codes that are documented, a screen that is never overrun."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from gristmill.cli import app, exits
from gristmill.cli.app import WITHOUT_JSON
from gristmill.cli.exits import Exit
from gristmill.cli.screen import Look, drawn, shares
from gristmill.client import History, JobInfo, Minute, Queue, Worker
from gristmill.client.documents import KindDepth, Progress, Run

README = Path(__file__).parents[2] / "README.md"
NOW = datetime.now(UTC)
CODE = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield " ".join(path), command
    for name, one in inner.items():
        yield from leaves(one, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_json_or_a_reason_why_not(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) != bool(WITHOUT_JSON.get(name)), name


def test_reasons_are_for_commands_that_are_there() -> None:
    assert WITHOUT_JSON.keys() <= COMMANDS.keys()


def test_the_exit_codes_are_told_in_the_same_words_everywhere() -> None:
    table = CODE.findall(exits.__doc__ or "")
    assert {int(code) for code, _ in table} == set(Exit)
    readme = README.read_text("utf-8").partition("| exit code |")[2].partition("\n\n")[0]
    assert CODE.findall(readme) == table
    said = " ".join(CliRunner().invoke(app, "--help").stdout.split())
    assert re.findall(r"\b(\d+) [a-z]", said.partition("Exit codes:")[2]) == [code for code, _ in table]


def crowded(count: int) -> Look:
    """A look with more of everything than a screen has lines, and names longer than one."""
    kinds = tuple(
        KindDepth(kind=f"kind-{place}", due=place, delayed=0, blocked=0, running=1, oldest_wait_s=61.0, paused=True)
        for place in range(count)
    )
    run = Run(kind="isolation_forest", attempt=1, started_at=NOW - timedelta(seconds=75))
    workers = [
        Worker(id=f"w{place}", host="host" * 30, pid=place, slots=8, running=2, version="1", started_at=NOW,
               heartbeat_at=NOW, runs=(run, run))
        for place in range(count)
    ]  # fmt: skip
    progress = Progress(stage="fit", done=40, total=100, seconds_left=12)
    jobs = [
        JobInfo(id=f"01890000-0000-7000-8000-{place:012}", kind="anomalies", dataset_id="d", status="running",
                created_at=NOW, started_at=NOW, progress=progress)
        for place in range(count)
    ]  # fmt: skip
    minute = Minute(at=NOW, kind="metrics", completed=7, failed=2, canceled=0)
    return Look(Queue(paused=True, kinds=kinds), workers, {job.id: job for job in jobs}, History((minute,)).items)


def lines_of(look: Look, *, width: int, height: int | None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn(look, "http://127.0.0.1:8000", width=width, height=height))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("count", [0, 2, 40])
def test_the_screen_of_top_fits_80_by_24(count: int) -> None:
    lines = lines_of(crowded(count), width=80, height=24)
    assert len(lines) <= 23, "the last line is for the way out"
    assert max(map(len, lines)) <= 80
    whole = "\n".join(lines)
    assert "PAUSED" in lines[0]
    assert "7 completed, 2 failed" in lines[1]
    assert whole.count(" more") == (3 if count == 40 else 0)
    assert count == 0 or re.search(r"…000000000000 +anomalies +fit 40%, 12 s left", whole)
    assert count == 0 or re.search(r"isolation_forest \d+ min \d+ s", whole)


def test_what_goes_to_a_file_is_not_cut() -> None:
    lines = lines_of(crowded(40), width=10_000, height=None)
    assert len(lines) == 2 + 3 * (2 + 40)
    assert "01890000-0000-7000-8000-000000000039" in lines[-1]


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [((2, 2, 2), 9, [2, 2, 2]), ((9, 1, 9), 9, [4, 1, 4]), ((9, 9, 9), 1, [1, 1, 1]), ((0, 0, 5), 3, [0, 0, 3])],
)
def test_lines_are_shared_out_evenly(wanted: tuple[int, ...], room: int, given: list[int]) -> None:
    assert shares(wanted, room) == given
