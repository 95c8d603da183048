"""Whether a row names its columns: told by what looks like a value, and by what stands below."""

import re
from itertools import pairwise

from gristmill.ingest.csv_records import Record

VALUE_LIKE = re.compile(
    r"\s*(?:[+-]?(?:\d[\d.,' ]*|\.\d+)(?:[eE][+-]?\d+)?%?|\d{4}-\d{2}-\d{2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*"
    r"|true|false)\s*",
    re.IGNORECASE | re.DOTALL,
)


# What may name a period of time: the parts in the order year, month, day.
YEAR = r"(?P<{}>(?:19|20|21)\d\d)"
MONTH, DAY = r"(?P<{}>0?[1-9]|1[0-2])", r"(?P<{}>0?[1-9]|[12]\d|3[01])"
PERIODS = tuple(
    re.compile(r"\s*" + form.format(*names) + r"\s*")
    for form, names in (
        (YEAR, "y"),
        (YEAR + r"[-/.]" + MONTH, "ym"),
        (MONTH + r"[-/.]" + YEAR, "my"),
        (YEAR + r"[-/.]" + MONTH + r"[-/.]" + DAY, "ymd"),
        (DAY + r"[-/.]" + MONTH + r"[-/.]" + YEAR, "dmy"),
        (MONTH + r"[-/.]" + DAY + r"[-/.]" + YEAR, "mdy"),
    )
)
LEAST_PERIODS = 2
LEAST_PERIODS_ALONE = 3
MOST_ALIKE = 0.2
"""Share of the cells below that may look like years too: numbers do so by chance."""
Period = tuple[int, ...]


def is_header(rows: list[Record]) -> bool:
    """Names are texts; where some look like values, a text above a column of values still tells, and so do periods."""
    first = rows[0].cells or []
    if not any(first):
        return False
    names = [cell for cell in first if not VALUE_LIKE.fullmatch(cell)]
    return len(names) == len(first) or (bool(names) and _above_values(rows)) or names_periods(rows)


def names_periods(rows: list[Record]) -> bool:
    """Whether the first row has years or dates that rise or fall evenly, above columns of other values.

    Two of them beside a text (or an empty corner), three where there is nothing else.
    """
    first = rows[0].cells or []
    below = [row.cells for row in rows[1:] if row.cells and len(row.cells) == len(first)]
    places = [place for place, cell in enumerate(first) if cell.strip() and VALUE_LIKE.fullmatch(cell)]
    least = LEAST_PERIODS if len(places) < len(first) else LEAST_PERIODS_ALONE
    if len(places) < least or not below:
        return False
    for form in PERIODS:
        found = [form.fullmatch(first[place]) for place in places]
        if all(found) and _in_steps([_period(match) for match in found if match is not None]):
            alike = sum(form.fullmatch(row[place]) is not None for row in below for place in places)
            return alike < MOST_ALIKE * len(below) * len(places)
    return False


def _period(match: re.Match[str]) -> Period:
    return tuple(int(match[part]) for part in "ymd" if part in match.re.groupindex)


def _in_steps(periods: list[Period]) -> bool:
    """Whether they rise or fall, and years by the same step."""
    ups = {after > before for before, after in pairwise(periods)}
    steps = {after[0] - before[0] for before, after in pairwise(periods)}
    return len(ups) == 1 and len(set(periods)) == len(periods) and (len(periods[0]) > 1 or len(steps) == 1)


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
    # A header that comes again, as of tables behind each other, is no row.
    below = [row.cells for row in rows[1:] if row.cells and len(row.cells) == len(first) and row.cells != first]
    return any(
        cell.strip()
        and not VALUE_LIKE.fullmatch(cell)
        and all(VALUE_LIKE.fullmatch(row[place]) for row in below if row[place])
        and any(row[place] for row in below)
        for place, cell in enumerate(first)
    )
