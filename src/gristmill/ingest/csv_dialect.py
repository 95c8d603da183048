"""How a CSV text is written, told from its beginning: where its table begins, delimiter, quote, escape, header.

A delimiter is judged by the rows below the first: the share of them that have the most common width, which the first
row should have too. The first row alone decides only when there is nothing else.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.csv_preamble import lead, top
from gristmill.ingest.csv_records import Dialect, Record, records
from gristmill.ingest.csv_under import Between, between
from gristmill.ingest.csv_under import warnings as told_between
from gristmill.ingest.csv_values import VALUE_LIKE, is_header, joined_names, names_periods, tells_values
from gristmill.ingest.options import IngestOptions, Limits

CANDIDATES = (b",", b";", b"\t", b"|", b"^", b"~")
DOUBLED = (b"|", b":", b"^", b"~")
DOUBLED_SHARE = 0.8
SAMPLE_RECORDS = 1000
SAMPLE_BYTES = 256 * 1024
IN_APOSTROPHES = re.compile(rb"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|\r\n]|$)", re.MULTILINE)
SECOND_HEADER = (
    "The second row looks like more names or units above the values: it is read as data (header_rows=2 joins them)"
)


IN_WORDS = (
    "No delimiter was found, but each row has as many words: if spaces part its cells, say so (delimiter) or save it "
    "with another one"
)
PERIODS_ABOVE = (
    "The first row has years or dates above other values: they are read as names (header=false says otherwise)"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What was found: the dialect, the header's cells (None: no header), the columns' count, where the rows begin."""

    dialect: Dialect
    header: list[str] | None
    width: int
    rows_start: int
    blank_lines: int
    preamble_lines: int
    warnings: tuple[str, ...]
    header_line: bytes = b""
    between: tuple[Between, ...] = ()


def find_shape(sample: bytes, options: IngestOptions, limits: Limits, *, whole: bool) -> Shape:
    """Look at the beginning of the text; `whole` says that there is no more of it.

    Raises BadData when there is no row, or the first can't be read; TooLarge over `max_columns`.
    """
    text = sample if whole else sample[: max(sample.rfind(b"\n", 0, SAMPLE_BYTES) + 1, 0)] or sample
    begin, told = top(text, options)
    dialect = _dialect(text, begin, told, options, limits, whole=whole)
    rows = _rows(text, begin, dialect, whole=whole)
    if not rows:
        raise BadData(
            "The file holds no rows" if whole else f"The first row is longer than {len(sample)} bytes, or not closed"
        )
    if options.skip_lines is None:
        rows = rows[lead(rows, apart=(options.header_rows or 1) > 1) :]
    first = rows[0]
    if first.cells is None:
        raise BadData(f"The first row can't be read: {first.reason}")
    header = _header(rows, options)
    data_widths = Counter(len(row.cells) for row in rows if row.cells)
    width = len(header) if header is not None else data_widths.most_common(1)[0][0]
    if width > limits.max_columns:
        raise TooLarge(f"max_columns: the file has {width} columns, and {limits.max_columns} are allowed")
    apart: list[Between] = []
    rows_start = first.start if header is None else rows[(options.header_rows or 1) - 1].end
    if header is not None and options.header_rows is None:
        apart, rows_start = between(text, rows)
    before = text[: first.start].split(b"\n")[:-1]
    preamble = sum(bool(line.strip()) for line in before)
    return Shape(
        dialect=dialect,
        header=header,
        width=width,
        rows_start=rows_start,
        blank_lines=len(before) - preamble,
        preamble_lines=preamble,
        header_line=text[first.start : first.end] if header is not None and options.header_rows is None else b"",
        warnings=(
            *_warnings([first, *rows[len(apart) + 1 :]], options, dialect, preamble, has_header=header is not None),
            *told_between(apart),
        ),
        between=tuple(apart),
    )


def _header(rows: list[Record], options: IngestOptions) -> list[str] | None:
    """The names, or None without a header. Raises BadData when not all of its rows can be read."""
    if options.header_rows is None:
        has_header = options.header if options.header is not None else is_header(rows)
        return rows[0].cells if has_header else None
    upper = [row.cells for row in rows[: options.header_rows] if row.cells is not None]
    if len(upper) < options.header_rows:
        raise BadData(f"header_rows: the first {options.header_rows} rows can't be read, or are not there")
    return joined_names(upper)


def _aligned(rows: list[Record]) -> bool:
    """Whether each row has as many words, two at least, with a number among them."""
    words = [row.cells[0].split() for row in rows if row.cells]
    numbers = any(VALUE_LIKE.fullmatch(word) for row in words[1:] for word in row)
    return len(words) > 1 and len(words[0]) > 1 and len({*map(len, words)}) == 1 and numbers


def _warnings(
    rows: list[Record], options: IngestOptions, dialect: Dialect, preamble: int, *, has_header: bool
) -> tuple[str, ...]:
    warnings = []
    if preamble:
        warnings.append(f"{preamble} lines before the table (a title, notes) are left out")
    if not has_header and options.header is None:
        warnings.append("No header row was recognised: the columns are named column_1, column_2, …")
    if dialect.delimiter is None and options.delimiter is None and _aligned(rows):
        warnings.append(IN_WORDS)
    if dialect.padded:
        warnings.append("Quotes stand after a space: spaces at the beginning of cells are left out")
    if has_header and options.header is None and options.header_rows is None and names_periods(rows):
        warnings.append(PERIODS_ABOVE)
    if has_header and options.header_rows is None and len(rows) > 3 and tells_values(rows[1:]):
        warnings.append(SECOND_HEADER)
    return tuple(warnings)


def _rows(text: bytes, begin: int, dialect: Dialect, *, whole: bool) -> list[Record]:
    found = (record for record in records(text, begin, dialect, final=whole) if not record.blank)
    return list(islice(found, SAMPLE_RECORDS))


def _dialect(
    text: bytes, begin: int, told: bytes | None, options: IngestOptions, limits: Limits, *, whole: bool
) -> Dialect:
    """The delimiter and escape sign that give the most regular rows; a backslash only where it helps."""
    quote = _quote(text, options)
    base = Dialect(None, quote, limits.max_cell_bytes, comment=(options.comment or "").encode() or None)
    if options.escape is not None:
        escapes: tuple[bytes | None, ...] = (options.escape.encode() or None,)
    else:
        escapes = (None, b"\\") if quote is not None and b"\\" + quote in text else (None,)
    fixed = (options.delimiter or "").encode() or told
    delimiters = [fixed] if fixed else [sign for sign in _candidates(text) if sign in text and sign != quote]
    chosen = replace(base, escape=escapes[0], delimiter=fixed)
    best: tuple[float, int, int] = (0.0, 0, 0)
    for escape in escapes:
        for rank, delimiter in enumerate(delimiters):
            padded = quote is not None and delimiter + b" " + quote in text
            for loose in (False, True) if padded else (False,):
                dialect = replace(base, delimiter=delimiter, escape=escape, padded=loose)
                score = _score(_rows(text, begin, dialect, whole=whole))
                if score is not None and (*score, -rank) > best:
                    best, chosen = (*score, -rank), dialect
    return chosen


def _candidates(text: bytes) -> list[bytes]:
    """One sign, or two of it where it hardly stands alone."""
    doubled = {sign: 2 * text.count(sign * 2) / text.count(sign) for sign in DOUBLED if sign in text}
    single = [sign for sign in CANDIDATES if doubled.get(sign) != 1.0]
    return single + [sign * 2 for sign, share in doubled.items() if share >= DOUBLED_SHARE]


def _quote(text: bytes, options: IngestOptions) -> bytes | None:
    """Apostrophes only where there are no quotation marks, and nearly all of them are around cells."""
    if options.quote is not None:
        return options.quote.encode() or None
    around = 0 if b'"' in text else 2 * len(IN_APOSTROPHES.findall(text))
    return b"'" if around >= 4 and around >= 0.9 * text.count(b"'") else b'"'


def _score(rows: list[Record]) -> tuple[float, int] | None:
    """The share of rows with the most common width, plus one where the first row has it too; then that width."""
    rows = rows[lead(rows) :]
    if not rows or rows[0].cells is None or len(rows[0].cells) < 2:
        return None
    first = len(rows[0].cells)
    widths = Counter(len(row.cells) if row.cells else 0 for row in rows[1:])
    if not widths:
        return 1.0, first
    width, count = widths.most_common(1)[0]
    share = round(count / (len(rows) - 1), 2)
    return share + (1.0 if width == first else 0.0), width
