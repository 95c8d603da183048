"""The careful CSV reader: one record at a time, as RFC 4180 and Python's `csv` read it, and what is wrong with it.

A quoted cell must be followed by a delimiter or a line end. Where it is not, or where a quote is never closed (or
not within the limit of a cell), the line the cell began on is rejected and reading goes on with the next line, so one
stray quote costs one line and not the rest of the file. A quote inside an unquoted cell is a character like others.
"""

import re
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
    FOOTER = "footer"
    OTHER_TABLE = "another table"
    REPEATED_HEADER = "repeated header"
    COMMENT = "comment"
    RULE = "rule"
    UNITS = "units"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells stand in the text. A delimiter of None: one column.

    `escape` stands before a quote that does not close its cell; lines that begin with `comment` are no rows. With
    `padded`, spaces at the beginning of a cell are left out, so that a quote after them opens it.
    """

    delimiter: bytes | None
    quote: bytes | None
    max_cell_bytes: int
    escape: bytes | None = None
    comment: bytes | None = None
    padded: bool = False

    @property
    def plain(self) -> bool:
        """Whether the fast path can read it."""
        return self.escape is None and self.comment is None and not self.padded and len(self.delimiter or b",") == 1


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
        if dialect.comment is not None and data.startswith(dialect.comment, at):
            end = data.find(b"\n", at) + 1
            if not end and not final:
                return
            yield Record(at, end or len(data), [])
            at = end or len(data)
            continue
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
    cells = text.split(dialect.delimiter.decode()) if dialect.delimiter else [text]
    return Record(start, end + 1, [cell.lstrip(" ") for cell in cells] if dialect.padded else cells)


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
    while dialect.padded and data[at : at + 1] == b" ":
        at += 1
    if dialect.padded and at == len(data) and not final:
        raise _Incomplete
    if dialect.quote is not None and data[at : at + 1] == dialect.quote:
        return _quoted(data, at + 1, dialect.quote, dialect, final=final)
    line_end = data.find(b"\n", at)
    cell_end = data.find(dialect.delimiter, at, None if line_end < 0 else line_end) if dialect.delimiter else -1
    if cell_end >= 0:
        return data[at:cell_end], cell_end + len(dialect.delimiter or b""), False
    if line_end < 0:
        if not final:
            raise _Incomplete
        return data[at:].removesuffix(b"\r"), len(data), True
    return data[at:line_end].removesuffix(b"\r"), line_end + 1, True


def _quoted(data: bytes, at: int, quote: bytes, dialect: Dialect, *, final: bool) -> tuple[bytes, int, bool]:
    limit = at + 2 * dialect.max_cell_bytes + 2
    close = _closing(data, at, limit, quote, dialect.escape)
    if close < 0:
        if len(data) < limit and not final:
            raise _Incomplete
        one_line = data.find(b"\n", at, limit) < 0 and len(data) >= limit
        raise _Fault(Reason.CELL_TOO_LONG if one_line else Reason.UNCLOSED_QUOTE)
    content = _unquoted(data[at:close], quote, dialect.escape)
    delimiter = dialect.delimiter or b""
    look = max(2, len(delimiter))
    after = data[close + 1 : close + 1 + look]
    if delimiter and after.startswith(delimiter):
        return content, close + 1 + len(delimiter), False
    if after[:1] == b"\n":
        return content, close + 2, True
    if len(after) < look and not final:
        raise _Incomplete
    if after in (b"", b"\r"):
        return content, len(data), True
    if after[:2] == b"\r\n":
        return content, close + 3, True
    raise _Fault(Reason.UNCLOSED_QUOTE if b"\n" in data[at:close] else Reason.TEXT_AFTER_QUOTE)


def _closing(data: bytes, at: int, limit: int, quote: bytes, escape: bytes | None) -> int:
    """Where the cell that began before `at` closes, or -1: at a quote that is neither doubled nor escaped."""
    search = at
    while True:
        close = data.find(quote, search, limit)
        if close < 0:
            return -1
        if escape is not None and (close - len(data[at:close].rstrip(escape)) - at) % 2:
            search = close + 1
        elif data[close + 1 : close + 2] == quote:
            search = close + 2
        else:
            return close


def _unquoted(content: bytes, quote: bytes, escape: bytes | None) -> bytes:
    """Doubled and escaped quotes are quotes; an escape sign before anything else is itself."""
    if escape is None or escape not in content:
        return content.replace(quote + quote, quote)
    signs = re.escape(quote) + re.escape(escape)
    pairs = re.compile(re.escape(escape) + b"([" + signs + b"])|" + re.escape(quote) * 2)
    return pairs.sub(lambda found: found[1] or quote, content)
