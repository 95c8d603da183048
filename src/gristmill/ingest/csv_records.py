"""The careful CSV reader: one record at a time, as RFC 4180 and Python's `csv` read it, and what is wrong with it.

A quoted cell must be followed by a delimiter or a line end. Where it is not, or where a quote is never closed (or
not within the limit of a cell), the line the cell began on is rejected and reading goes on with the next line, so one
stray quote costs one line and not the rest of the file. A quote inside an unquoted cell is a character like others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

LF, CR = 10, 13


class Reason(StrEnum):
    """Why a row was rejected."""

    EXTRA_CELLS = "extra cells"
    MISSING_CELLS = "missing cells"
    UNCLOSED_QUOTE = "unclosed quote"
    TEXT_AFTER_QUOTE = "text after a closing quote"
    BAD_ENCODING = "bad encoding"
    CELL_TOO_LONG = "cell too long"
    ROW_TOO_LONG = "row too long"
    BAD_JSON = "bad JSON"
    NOT_AN_OBJECT = "not a JSON object"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells stand in the text. A delimiter of None: one column."""

    delimiter: bytes | None
    quote: bytes | None
    max_cell_bytes: int


class Record(NamedTuple):
    """Cells or a reason, where the record's bytes are (line end included), and the column (from 0) at fault."""

    start: int
    end: int
    cells: list[str] | None
    reason: Reason | None = None
    column: int | None = None

    @property
    def blank(self) -> bool:
        return self.cells is not None and not self.cells


class _Fault(Exception):
    """The cell at hand is malformed."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


class _Incomplete(Exception):
    """The record may go on beyond the data at hand."""


def records(data: bytes, start: int, dialect: Dialect, *, final: bool) -> Iterator[Record]:
    """The records from `start`; ends before one that may go on beyond `data`. With `final` all, ended or not."""
    at = start
    while at < len(data):
        record = _simple(data, at, dialect)
        if record is None:
            try:
                record = _record(data, at, dialect, final=final)
            except _Incomplete:
                return
        yield record
        at = record.end


def _simple(data: bytes, start: int, dialect: Dialect) -> Record | None:
    """The quick way through a line without quotes and faults: most lines, even of a text that needs care."""
    end = data.find(b"\n", start)
    if end < 0 or end - start > dialect.max_cell_bytes:
        return None
    if dialect.quote is not None and data.find(dialect.quote, start, end) >= 0:
        return None
    line = data[start:end].removesuffix(b"\r")
    if not line:
        return Record(start, end + 1, [])
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    return Record(start, end + 1, text.split(dialect.delimiter.decode()) if dialect.delimiter else [text])


def _record(data: bytes, start: int, dialect: Dialect, *, final: bool) -> Record:
    at = start
    cells: list[str] = []
    reason: Reason | None = None
    fault_column: int | None = None
    while True:
        try:
            raw, at, ended = _cell(data, at, dialect, final=final)
        except _Fault as fault:
            end = data.find(b"\n", at) + 1
            if not end and not final:
                raise _Incomplete from None
            return Record(start, end or len(data), None, fault.reason, len(cells))
        if ended and not cells and at - start <= 2 and not raw and data[start] in (LF, CR):
            return Record(start, at, [])
        text, fault_here = _text(raw, dialect)
        if fault_here is not None and reason is None:
            reason, fault_column = fault_here, len(cells)
        cells.append(text)
        if ended:
            return Record(start, at, None if reason else cells, reason, fault_column)


def _text(raw: bytes, dialect: Dialect) -> tuple[str, Reason | None]:
    if len(raw) > dialect.max_cell_bytes:
        return "", Reason.CELL_TOO_LONG
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return "", Reason.BAD_ENCODING


def _cell(data: bytes, at: int, dialect: Dialect, *, final: bool) -> tuple[bytes, int, bool]:
    """A cell's content, where the next one begins, and whether the record ends here."""
    if dialect.quote is not None and data[at : at + 1] == dialect.quote:
        return _quoted(data, at + 1, dialect.quote, dialect, final=final)
    line_end = data.find(b"\n", at)
    cell_end = data.find(dialect.delimiter, at, None if line_end < 0 else line_end) if dialect.delimiter else -1
    if cell_end >= 0:
        return data[at:cell_end], cell_end + 1, False
    if line_end < 0:
        if not final:
            raise _Incomplete
        return data[at:].removesuffix(b"\r"), len(data), True
    return data[at:line_end].removesuffix(b"\r"), line_end + 1, True


def _quoted(data: bytes, at: int, quote: bytes, dialect: Dialect, *, final: bool) -> tuple[bytes, int, bool]:
    limit = at + 2 * dialect.max_cell_bytes + 2
    search = at
    while True:
        close = data.find(quote, search, limit)
        if close < 0:
            if len(data) < limit and not final:
                raise _Incomplete
            one_line = data.find(b"\n", at, limit) < 0 and len(data) >= limit
            raise _Fault(Reason.CELL_TOO_LONG if one_line else Reason.UNCLOSED_QUOTE)
        if data[close + 1 : close + 2] != quote:
            break
        search = close + 2
    content = data[at:close].replace(quote + quote, quote)
    after = data[close + 1 : close + 3]
    if len(after) < 2 and not final and after not in (b"\n", dialect.delimiter):
        raise _Incomplete
    if after[:1] == dialect.delimiter:
        return content, close + 2, False
    if after in (b"", b"\r"):
        return content, len(data), True
    if after[:1] == b"\n":
        return content, close + 2, True
    if after == b"\r\n":
        return content, close + 3, True
    raise _Fault(Reason.UNCLOSED_QUOTE if b"\n" in data[at:close] else Reason.TEXT_AFTER_QUOTE)
