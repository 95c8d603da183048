"""Whether a row names its columns: told by what looks like a value, and by what stands below."""

import re

from gristmill.ingest.csv_records import Record

VALUE_LIKE = re.compile(
    r"\s*(?:[+-]?(?:\d[\d.,' ]*|\.\d+)(?:[eE][+-]?\d+)?%?|\d{4}-\d{2}-\d{2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*"
    r"|true|false)\s*",
    re.IGNORECASE | re.DOTALL,
)


def is_header(rows: list[Record]) -> bool:
    """Names are texts; where some look like values (years, say), a text above a column of values still tells."""
    first = rows[0].cells or []
    if not any(first):
        return False
    names = [cell for cell in first if not VALUE_LIKE.fullmatch(cell)]
    return len(names) == len(first) or (bool(names) and _above_values(rows))


def joined_names(rows: list[list[str]]) -> list[str]:
    """The names that several rows of a header make, top to bottom, joined with a space.

    An empty cell with a name below takes the text to its left, if that has a name below too: cells merged across
    columns are written so.
    """
    width = max(map(len, rows))
    padded = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in rows]
    for number, row in enumerate(padded[:-1]):
        named = [any(below[place] for below in padded[number + 1 :]) for place in range(width)]
        for place in range(1, width):
            if not row[place] and named[place] and named[place - 1]:
                row[place] = row[place - 1]
    return [" ".join(filter(None, column)) for column in zip(*padded, strict=True)]


def tells_values(rows: list[Record]) -> bool:
    """Whether all cells of the first row are texts, and one of them stands above a column of values."""
    first = rows[0].cells or []
    return not any(VALUE_LIKE.fullmatch(cell) for cell in first) and _above_values(rows)


def _above_values(rows: list[Record]) -> bool:
    first = rows[0].cells or []
    below = [row.cells for row in rows[1:] if row.cells and len(row.cells) == len(first)]
    return any(
        cell.strip()
        and not VALUE_LIKE.fullmatch(cell)
        and all(VALUE_LIKE.fullmatch(row[place]) for row in below if row[place])
        and any(row[place] for row in below)
        for place, cell in enumerate(first)
    )
