"""Progress is live bars in a terminal and plain lines elsewhere."""

import io

from rich.console import Console

from gristmill.shown.board import Board


def play(board: Board) -> None:
    for done in (0, 50, 100):
        board.show("metrics", "fit", done=done, total=100)
    board.show("metrics", "apply", done=0, total=100)
    board.finish("metrics", "completed in 0.1 s")
    board.finish("anomalies", "failed", well=False)


def test_without_a_terminal_each_change_is_one_plain_line() -> None:
    sink = io.StringIO()
    with Board(Console(file=sink, width=80)) as board:
        play(board)
    lines = [line.split() for line in sink.getvalue().splitlines()]
    assert lines == [
        ["metrics", "fit"],
        ["metrics", "apply"],
        ["metrics", "completed", "in", "0.1", "s"],
        ["anomalies", "failed"],
    ]


def test_in_a_terminal_there_are_bars_that_fit_80_columns() -> None:
    sink = io.StringIO()
    console = Console(file=sink, width=80, force_terminal=True, color_system=None)
    with Board(console) as board:
        play(board)
    last = sink.getvalue().replace("\r", "\n").splitlines()[-3:]
    assert "completed in 0.1 s" in sink.getvalue()
    assert "━" in sink.getvalue()
    assert all(len(line.split("\x1b[2K")[-1]) <= 80 for line in last)
