"""What stands before the table of a CSV text: a line for spreadsheets, comments, a title, notes.

None of it is a row. Lines are taken for a title only where what follows is clearly a table: after a blank line, or, if
they are of one cell, with names above values. A file of one column whose cells have commas must stay one.
"""

import re
from collections import Counter

from gristmill.ingest.csv_records import Record
from gristmill.ingest.csv_values import names_periods, tells_values
from gristmill.ingest.options import IngestOptions

SEPARATOR_LINE = re.compile(rb"sep=([^\r\n\0])\r?\n", re.IGNORECASE)
COMMENT = b"#"
MAX_LEAD = 20
REGULAR_SHARE = 0.8
SENTENCE_WORDS = 4


def top(text: bytes, options: IngestOptions) -> tuple[int, bytes | None]:
    """Where the table (or its title) begins, and the delimiter if a `sep=` line says it.

    Comments are lines that begin with `#`, but for the last when it has as many words as a header would.
    """
    at, told = 0, None
    if options.skip_lines is not None:
        for _ in range(options.skip_lines):
            at = text.find(b"\n", at) + 1 or len(text)
        return at, None
    if (found := SEPARATOR_LINE.match(text)) is not None:
        at, told = found.end(), found[1]
    if options.comment is not None:
        return at, told
    last = at
    while text.startswith(COMMENT, at):
        last, at = at, text.find(b"\n", at) + 1 or len(text)
    return (last if _names(text[last:at], text[at:]) else at), told


def _names(line: bytes, rest: bytes) -> bool:
    """Whether a comment line is cut into cells as the line below it is."""
    below = rest.split(b"\n", 1)[0]
    return any(line.count(sign) == below.count(sign) > 0 for sign in (b",", b";", b"\t", b"|"))


def lead(rows: list[Record], *, apart: bool = False) -> int:
    """How many of the first rows are a title or notes: rows of a cell or two above a regular table.

    With `apart`, only before a blank line: the first of several rows of names may have few cells too.
    """
    widths = Counter(len(row.cells) for row in rows if row.cells and len(row.cells) > 1)
    width = widths.most_common(1)[0][0] if widths else 0
    count = 0
    while count < len(rows) - 1 and _is_short(rows[count], width):
        count += 1
    if width < 2 or not 0 < count <= MAX_LEAD:
        return 0
    table = rows[count:]
    regular = sum(len(row.cells or ()) == width for row in table)
    if len(table[0].cells or ()) != width or len(table) < 2 or regular < REGULAR_SHARE * len(table):
        return 0
    if rows[count - 1].end < table[0].start:
        return count
    # Two cells may as well be names, with one forgotten.
    narrow = all(sum(map(bool, row.cells or ())) <= 1 or _is_sentence(row) for row in rows[:count])
    return count if not apart and narrow and (tells_values(table) or names_periods(table)) else 0


def _is_short(row: Record, width: int) -> bool:
    """A cell or two, or a sentence that commas cut into fewer cells than the rows have."""
    if row.cells is None:
        return False
    return sum(map(bool, row.cells)) <= (2 if width >= 3 else 1) or (len(row.cells) < width and _is_sentence(row))


def _is_sentence(row: Record) -> bool:
    return len((row.cells or [""])[0].split()) >= SENTENCE_WORDS
