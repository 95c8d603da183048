"""Which delimiter a CSV text uses and whether its first record is a header, told from its beginning.

A delimiter is judged by the rows below the first: the share of them that have the most common width, which the first
row should have too. The first row alone decides only when there is nothing else.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.csv_records import Dialect, Record, records
from gristmill.ingest.options import IngestOptions, Limits

CANDIDATES = (b",", b";", b"\t", b"|")
SAMPLE_RECORDS = 1000
SAMPLE_BYTES = 256 * 1024
VALUE_LIKE = re.compile(
    r"\s*(?:[+-]?(?:\d[\d.,' ]*|\.\d+)(?:[eE][+-]?\d+)?%?|\d{4}-\d{2}-\d{2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*"
    r"|true|false)\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What was found: the dialect, the header's cells (None: no header), the columns' count, where the rows begin."""

    dialect: Dialect
    header: list[str] | None
    width: int
    rows_start: int
    blank_lines: int
    warnings: tuple[str, ...]


def find_shape(sample: bytes, options: IngestOptions, limits: Limits, *, whole: bool) -> Shape:
    """Look at the beginning of the text; `whole` says that there is no more of it.

    Raises BadData when there is no row, or the first can't be read; TooLarge over `max_columns`.
    """
    quote = options.quote.encode() or None
    text = sample if whole else sample[: max(sample.rfind(b"\n", 0, SAMPLE_BYTES) + 1, 0)] or sample
    dialect = Dialect(_delimiter(text, quote, options, limits, whole=whole), quote, limits.max_cell_bytes)
    rows = _rows(text, dialect, whole=whole)
    if not rows:
        raise BadData(
            "The file holds no rows" if whole else f"The first row is longer than {len(sample)} bytes, or not closed"
        )
    first = rows[0]
    if first.cells is None:
        raise BadData(f"The first row can't be read: {first.reason}")
    has_header = options.header if options.header is not None else _is_header(rows)
    data_widths = Counter(len(row.cells) for row in rows if row.cells)
    width = len(first.cells) if has_header else data_widths.most_common(1)[0][0]
    if width > limits.max_columns:
        raise TooLarge(f"max_columns: the file has {width} columns, and {limits.max_columns} are allowed")
    start = first.end if has_header else first.start
    warnings = []
    if not has_header and options.header is None:
        warnings.append("No header row was recognised: the columns are named column_1, column_2, …")
    return Shape(
        dialect=dialect,
        header=first.cells if has_header else None,
        width=width,
        rows_start=start,
        blank_lines=sample.count(b"\n", 0, first.start),
        warnings=tuple(warnings),
    )


def _rows(text: bytes, dialect: Dialect, *, whole: bool) -> list[Record]:
    found = (record for record in records(text, 0, dialect, final=whole) if not record.blank)
    return list(islice(found, SAMPLE_RECORDS))


def _delimiter(
    text: bytes, quote: bytes | None, options: IngestOptions, limits: Limits, *, whole: bool
) -> bytes | None:
    if options.delimiter is not None:
        return options.delimiter.encode()
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen: bytes | None = None
    for rank, candidate in enumerate(CANDIDATES):
        if candidate not in text or candidate == quote:
            continue
        score = _score(_rows(text, Dialect(candidate, quote, limits.max_cell_bytes), whole=whole))
        if score is not None and (*score, -rank) > best:
            best, chosen = (*score, -rank), candidate
    return chosen


def _score(rows: list[Record]) -> tuple[float, int] | None:
    """The share of rows with the most common width, plus one where the first row has it too; then that width."""
    if not rows or rows[0].cells is None or len(rows[0].cells) < 2:
        return None
    first = len(rows[0].cells)
    widths = Counter(len(row.cells) if row.cells else 0 for row in rows[1:])
    if not widths:
        return 1.0, first
    width, count = widths.most_common(1)[0]
    share = round(count / (len(rows) - 1), 2)
    return share + (1.0 if width == first else 0.0), width


def _is_header(rows: list[Record]) -> bool:
    """Names are texts; where some look like values (years, say), a text above a column of values still tells."""
    first = rows[0].cells or []
    if not any(first):
        return False
    names = [cell for cell in first if not VALUE_LIKE.fullmatch(cell)]
    if len(names) == len(first):
        return True
    below = [row.cells for row in rows[1:] if row.cells and len(row.cells) == len(first)]
    if not below or not names:
        return False
    return any(
        cell.strip()
        and not VALUE_LIKE.fullmatch(cell)
        and all(VALUE_LIKE.fullmatch(row[place]) for row in below if row[place])
        and any(row[place] for row in below)
        for place, cell in enumerate(first)
    )
