"""What stands below the table of a CSV text: totals, sources, notes. None of it is a row.

A line is taken for one only with two signs: it says what it is (`Total`, `Source: …`) and does not fit the columns, or
it stands after a blank line and has another shape than the rows. One sign alone is told, and the line stays a row.
"""

import re
from typing import NamedTuple

from gristmill.ingest.csv_records import Record
from gristmill.ingest.csv_values import VALUE_LIKE, is_header

FOOTER_BYTES = 8 * 1024
"""A footer is looked for in so much text at the end."""
MAX_FOOTER = 20
LIKE_ROWS = 50
"""Rows above a line that tell what its columns hold."""

TOTAL = re.compile(
    r"\s*(?:(?:grand|overall|sub)[ -]?)?(?:totals?|sum|summe|gesamt(?:summe)?|insgesamt|averages?|mean|median|count"
    r"|durchschnitt)"
    r"\s*[:=]?\s*(?:[\d.,' ]+)?",
    re.IGNORECASE,
)
RULE = re.compile(r"\s*(?:-{3,}|={3,}|_{3,})\s*")
NOTE = re.compile(
    r"\s*(?:(?:sources?|notes?|quellen?|hinweise?|anmerkung(?:en)?|remarks?|footnotes?|disclaimer)(?: ?\d+)?\s*:"
    r"|(?:generated|exported|created|printed|downloaded|prepared)\s+(?:on|by|at|from|with)\b"
    r"|copyright\b|©|\(c\)\s|\*+\s|†|\[\d+\]\s|[-* ]*end of (?:file|report|table|data)\b"
    r"|\(?\d+ (?:rows?|records?|lines?)(?: (?:affected|selected|returned))?\)?\s*$)",
    re.IGNORECASE,
)
COMMENT = re.compile(r"#+(?:\s|$)")
UNSURE = (
    "The last row begins like a total or a note, but fits the columns: it is read as data (skip_footer leaves it out)"
)
LONE = "The last line has one cell only: it is read as a short row (skip_footer leaves it out)"


class Footer(NamedTuple):
    """The footer's place among the records of the text's end (their number, if there is none), and what is unsure."""

    start: int
    warning: str | None = None


def find_footer(found: list[Record], width: int) -> Footer:
    """Look at the last records of a text, blank ones among them, in a table of so many columns."""
    places = [place for place, record in enumerate(found) if not is_gap(record)]
    rows = [found[place] for place in places]
    gaps = {row for row in range(1, len(rows)) if places[row] - places[row - 1] > 1}
    end = len(rows)
    while end > 1 and len(rows) - end < MAX_FOOTER:
        if (_says(rows[end - 1]) or _is_comment(rows[end - 1], width)) and _misfits(
            rows[end - 1], rows[: end - 1], width
        ):
            end -= 1
            continue
        start = max((gap for gap in gaps if gap < end), default=0)
        if not start or end - start > MAX_FOOTER or not _apart(rows[start:end], rows[:start], width):
            break
        end = start
    if end < len(rows):
        # Blank lines and rows of empty cells between the table and its footer belong to neither.
        return Footer(places[end - 1] + 1)
    return Footer(len(found), _doubt(rows, width))


def is_gap(record: Record) -> bool:
    """Whether it is a blank line, or a row without anything in it."""
    return record.cells is not None and not any(cell.strip() for cell in record.cells)


def begins_table(record: Record, after: list[Record], width: int) -> int:
    """The columns of another table, of names above rows, that begins here, with a title or without; 0: none does."""
    rows = [record, *after] if len(record.cells or ()) > 1 else after
    if len(rows) < 2 or rows[0].cells is None or rows[1].cells is None:
        return 0
    columns = len(rows[0].cells)
    other = columns not in (1, width) and len(rows[1].cells) == columns
    return columns if other and all(rows[0].cells) and is_header(rows[:1]) else 0


def _first(record: Record) -> str:
    return next((cell for cell in record.cells or () if cell.strip()), "")


def _says(record: Record) -> bool:
    """Whether a line says that it is a total, a note, or a rule above one."""
    text = _first(record)
    if RULE.fullmatch(text):
        return all(RULE.fullmatch(cell) for cell in record.cells or () if cell.strip())
    return TOTAL.fullmatch(text) is not None or NOTE.match(text) is not None


def _is_comment(record: Record, width: int) -> bool:
    cells = record.cells or [""]
    return len(cells) != width > 1 and COMMENT.match(cells[0]) is not None


def _misfits(record: Record, above: list[Record], width: int) -> bool:
    """Whether it has another number of cells, a gap or a text where the rows above have values."""
    cells = record.cells or []
    rows = [row for row in above[-LIKE_ROWS:] if not _says(row)]
    like = [row.cells for row in rows if row.cells is not None and len(row.cells) == width]
    if len(cells) != width:
        return True
    if len(like) < 2:
        return False
    columns = zip(cells, zip(*like, strict=True), strict=True)
    return any(_stands_out(cell.strip(), [one.strip() for one in column]) for cell, column in columns)


def _stands_out(cell: str, column: list[str]) -> bool:
    if not cell:
        return all(column)
    filled = [one for one in column if one]
    return len(filled) > 1 and not VALUE_LIKE.fullmatch(cell) and all(VALUE_LIKE.fullmatch(one) for one in filled)


def _apart(rows: list[Record], above: list[Record], width: int) -> bool:
    """Whether the rows after a gap are all notes: a text in the first cell alone, or a sentence that commas cut."""
    if any(row.cells is None for row in rows) or begins_table(rows[0], rows[1:3], width):
        return False
    return all(_is_note(row) and _misfits(row, above, width) for row in rows)


def _is_note(record: Record) -> bool:
    cells = [cell.strip() for cell in record.cells or ()]
    if not cells or not cells[0] or VALUE_LIKE.fullmatch(cells[0]):
        return False
    return not any(cells[1:]) or _says(record) or " " in cells[0]


def _doubt(rows: list[Record], width: int) -> str | None:
    if len(rows) < 2:
        return None
    if _says(rows[-1]):
        return UNSURE
    return LONE if len(rows[-1].cells or "  ") == 1 < width else None
