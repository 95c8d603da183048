"""NDJSON: one object a line. Columns are the union of the keys; a column's type is decided over all its values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import polars as pl

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.csv_records import Reason
from gristmill.ingest.finish import Target
from gristmill.ingest.names import settle_names
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.rejects import Rejects
from gristmill.ingest.spill import Spill

EXACT_INTEGERS: Final = 2**53
FRAME_CELLS: Final = 2_000_000
FRAME_ROWS: Final = 65_536
Row = dict[str, Any]

NUMBERS: Final = frozenset({int, float})


@dataclass(slots=True)
class _Seen:
    """The Python types of a column's values; `wide`: integers a float can't hold, `huge`: beyond 64 bits."""

    place: int
    types: set[type] = field(default_factory=set)
    wide: bool = False
    huge: bool = False


class NdjsonTable:
    """Reads lines into `spill` and `rejects`; `rows_read == spill.rows + rejects.count`. Blank lines are no rows."""

    def __init__(self, limits: Limits, spill: Spill, rejects: Rejects) -> None:
        self.rows_read = 0
        self.blank_lines = 0
        self._limits = limits
        self._spill = spill
        self._rejects = rejects
        self._columns: dict[str, _Seen] = {}
        self._decoder = msgspec.json.Decoder()
        self._line = 0
        self._skipping = False

    def read(self, pieces: Iterator[bytes]) -> None:
        """Read UTF-8 text to its end."""
        waiting: list[bytes] = []
        size = 0
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= self._limits.block_bytes:
                rest = self._consume(b"".join(waiting))
                waiting, size = [rest], len(rest)
        rest = self._consume(b"".join(waiting))
        if rest:
            self._consume(rest + b"\n")
        self._spill.flush()

    def _consume(self, data: bytes) -> bytes:
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return b""
            self._skipping = False
            data = data[end:]
        cut = data.rfind(b"\n") + 1
        self._lines(data[:cut])
        rest = data[cut:]
        if len(rest) > self._limits.max_row_bytes:
            self._line += 1
            self.rows_read += 1
            self._rejects.add(line=self._line, column=None, reason=Reason.ROW_TOO_LONG, raw=rest)
            self._skipping = True
            return b""
        return rest

    def _lines(self, text: bytes) -> None:
        lines = text.split(b"\n")
        lines.pop()
        rows = self._all_good(text, lines)
        if rows is None:
            rows = [row for line in lines if (row := self._one(line)) is not None]
        else:
            self.rows_read += len(rows)
            self._line += len(lines)
        start = 0
        while start < len(rows):
            start += self._frame(rows, start)

    def _all_good(self, text: bytes, lines: list[bytes]) -> list[Row] | None:
        """All lines at once, if there is nothing to look at twice."""
        if not lines or max(map(len, lines)) > self._limits.max_cell_bytes:
            return None
        try:
            rows = self._decoder.decode_lines(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        good = len(rows) == len(lines) and all(type(row) is dict for row in rows)
        return rows if good else None

    def _one(self, line: bytes) -> Row | None:
        self._line += 1
        if not line.strip():
            self.blank_lines += 1
            return None
        row, reason = self._decode(line)
        self.rows_read += 1
        if reason is not None:
            self._rejects.add(line=self._line, column=None, reason=reason, raw=line)
        return row

    def _decode(self, line: bytes) -> tuple[Row, None] | tuple[None, Reason]:
        if len(line) > self._limits.max_row_bytes:
            return None, Reason.ROW_TOO_LONG
        try:
            row = self._decoder.decode(line)
        except UnicodeDecodeError:
            return None, Reason.BAD_ENCODING
        except (msgspec.DecodeError, RecursionError):
            return None, Reason.BAD_JSON
        if type(row) is not dict:
            return None, Reason.NOT_AN_OBJECT
        limit = self._limits.max_cell_bytes
        if len(line) > limit and any(len(msgspec.json.encode(value)) - 2 > limit for value in row.values()):
            return None, Reason.CELL_TOO_LONG
        return row, None

    def _frame(self, rows: list[Row], start: int) -> int:
        """Make columns of some rows, as many as keep the frame of bounded size; answers how many."""
        keys: dict[str, None] = {}
        taken: list[Row] = []
        for row in rows[start : start + FRAME_ROWS]:
            keys |= dict.fromkeys(row)
            taken.append(row)
            if len(keys) * len(taken) > FRAME_CELLS:
                break
        # A frame of rows without any key still has rows: an empty column carries them.
        columns = [self._column(key, [row.get(key) for row in taken]) for key in keys]
        self._spill.add(pl.DataFrame(columns or [pl.Series("none", [None] * len(taken), pl.Null)]))
        return len(taken)

    def _column(self, key: str, values: list[Any]) -> pl.Series:
        seen = self._columns.get(key)
        if seen is None:
            if len(self._columns) >= self._limits.max_columns:
                raise TooLarge(f"max_columns: the rows have more than {self._limits.max_columns} different keys")
            seen = self._columns[key] = _Seen(len(self._columns))
        types = set(map(type, values)) - {type(None)}
        seen.types |= types
        if int in types:
            highest = max(abs(value) for value in values if type(value) is int)
            seen.wide = seen.wide or highest > EXACT_INTEGERS
            seen.huge = seen.huge or highest > 2**63 - 1
        return _series(str(seen.place), values, types, wide=seen.wide, huge=seen.huge)

    def targets(self, options: IngestOptions) -> tuple[list[Target], list[str]]:
        """What the columns become, and the warnings.

        Raises BadData when no row has a key.
        """
        if not self._columns:
            raise BadData("No object has a key: there are no columns")
        names, warnings = settle_names(self._columns)
        targets = []
        for name, seen in zip(names, self._columns.values(), strict=True):
            kind, warning = _decide(seen)
            kind = pl.String() if options.types == "text" else kind
            if warning is not None and options.types != "text":
                warnings.append(f"column {seen.place + 1}: {warning}")
            targets.append(Target(seen.place, name, _cast_to(kind), kind))
        return targets, warnings


def _series(name: str, values: list[Any], types: set[type], *, wide: bool, huge: bool) -> pl.Series:
    if types <= {bool}:
        return pl.Series(name, values, pl.Boolean if types else pl.Null)
    if types == {str}:
        return pl.Series(name, values, pl.String)
    if types == {int} and not huge:
        return pl.Series(name, values, pl.Int64)
    if types <= NUMBERS and not (wide and int in types):
        return pl.Series(name, values, pl.Float64, strict=False)
    return pl.Series(name, [_text(value) for value in values], pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _decide(seen: _Seen) -> tuple[pl.DataType, str | None]:
    types = seen.types
    if types <= NUMBERS and types:
        if seen.huge or (seen.wide and float in types):
            return pl.String(), "it has integers too big for an exact number; it is kept as text"
        return (pl.Float64() if float in types else pl.Int64()), None
    if types == {bool}:
        return pl.Boolean(), None
    if types <= {str}:
        return pl.String(), None
    if types & {dict, list}:
        return pl.String(), "it has nested values; they are kept as JSON text"
    return pl.String(), "its values are of different types; they are kept as text"


def _cast_to(kind: pl.DataType) -> Callable[[pl.Expr, pl.DataType], pl.Expr]:
    return lambda column, spilled: column if spilled == kind else column.cast(kind)
