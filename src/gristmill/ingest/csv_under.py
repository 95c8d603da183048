"""What stands between the names and the values and is neither: a rule (`-----`), and the units of the columns.

A row is taken for units only where each of its texts is one, and one stands above a column of values.
"""

import re
from typing import NamedTuple

from gristmill.ingest.csv_records import Reason, Record
from gristmill.ingest.csv_values import VALUE_LIKE, tells_values

MOST = 2
RULE = re.compile(r"\s*:?(?:-{2,}|={2,}|_{2,}):?\s*")
SHORTEST_RULE = 3
_UNIT = (
    r"(?:[µμmkMGTcdhn]?(?:m|g|s|A|K|V|W|J|N|L|l|B|F|Pa|Hz|Wh|Ω|mol|bar|eV)|°[CFK]?|deg[CFK]?|min|hr?s?|d|days?|sec|years?|yr"
    r"|mph|kts?|kn|ft|in|inch(?:es)?|mi|lbs?|oz|gal|psi|dB|pH|rad|pcs|ppm|ppb|mmHg|t)(?:[²³]|\^?-?[1-3])?"
)
UNIT = re.compile(
    rf"\s*(?:[\[(][^\])]{{0,20}}[\])]|{_UNIT}(?:[/·*. ]{_UNIT}){{0,3}}|[%‰€$£¥-]|USD|EUR|GBP"
    r"|[yY]{4}[-/.][mM]{2}[-/.][dD]{2}(?:[T ]?[hH]{2}:[mM]{2}(?::[sS]{2})?)?)\s*"
)


class Between(NamedTuple):
    """A line that is no row: its number, its bytes, and why."""

    line: int
    raw: bytes
    reason: Reason


def between(text: bytes, rows: list[Record]) -> tuple[list[Between], int]:
    """The lines below the names, the first of the rows, and the place where the values begin."""
    found: list[Between] = []
    at = 1
    while at <= MOST and at < len(rows) and (reason := _reason(rows[at:])) is not None:
        record = rows[at]
        found.append(Between(text.count(b"\n", 0, record.start) + 1, text[record.start : record.end], reason))
        at += 1
    return found, rows[at - 1].end


def _reason(rows: list[Record]) -> Reason | None:
    if _is_rule(rows[0]):
        return Reason.RULE
    cells, rows = rows[0].cells or [], [row for row in rows if not _is_rule(row)]
    units = all(not cell.strip() or (UNIT.fullmatch(cell) and not VALUE_LIKE.fullmatch(cell)) for cell in cells)
    return Reason.UNITS if units and len(rows) > MOST and tells_values(rows) else None


def _is_rule(record: Record) -> bool:
    cells = record.cells or []
    return all(map(RULE.fullmatch, cells)) and any(len(cell.strip()) >= SHORTEST_RULE for cell in cells)


def warnings(found: list[Between]) -> list[str]:
    """What is to be told of them."""
    told = {
        Reason.RULE: "is a rule below the names: it is rejected",
        Reason.UNITS: "looks like the units of the columns: it is rejected (header_rows=2 joins it to the names)",
    }
    return [f"Line {each.line} {told[each.reason]}" for each in found]
