"""Standard output is for what was asked for; everything else goes to standard error."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from gristmill.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output, and nothing else.")]

# A pipe has no width: lines are not to be cut or wrapped there.
WIDE = 10_000


def out() -> "Console":
    """A console of standard output. Colours are off where it is no terminal, or with NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def err() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDE)


def say(words: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{printable(words)}\n")
    sys.stderr.flush()


def fail(words: str, code: Exit) -> NoReturn:
    say(f"gristmill: {words}")
    raise typer.Exit(code)


def write_json(value: Any) -> None:
    """One JSON document, on one line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def write_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; nothing at all where there are no rows and nobody looks."""
    out().print(table_of(headings, rows, right=right))


def table_of(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    one_line: bool = False,
) -> Any:
    """`one_line`: what is too wide is cut instead of wrapped."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        table.add_column(heading, justify=justify, no_wrap=one_line, overflow="ellipsis" if one_line else "fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row))
    return table


def printable(text: str) -> str:
    """A text that does nothing to a terminal: whoever named a column must not move the cursor with it."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)
