"""A CSV text, block by block: the fast path where it can be, the careful reader where it must be; nothing lost."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from gristmill.ingest.csv_blocks import Layout, find_records, keep, parse, starts_like_a_mark
from gristmill.ingest.csv_dialect import Shape
from gristmill.ingest.csv_records import Reason, Record, records
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.rejects import Rejects
from gristmill.ingest.spill import Spill

CAREFUL_BYTES = 64 * 1024
Row = list[str | None]


class CsvTable:
    """Reads rows into `spill` (text columns named "0", "1", …) and `rejects`.

    `rows_read == spill.rows + rejects.count` when `read` is done. Blank lines are no rows.
    """

    def __init__(self, shape: Shape, options: IngestOptions, limits: Limits, spill: Spill, rejects: Rejects) -> None:
        self.rows_read = 0
        self.repaired_short = 0
        self.repaired_long = 0
        self.blank_lines = shape.blank_lines
        self.comment_lines = 0
        self._dialect = shape.dialect
        self._width = shape.width
        self._names = [str(place) for place in range(shape.width)]
        self._strict = options.strict
        self._limits = limits
        self._spill = spill
        self._rejects = rejects
        self._lines_before = 0
        self._skipping = False
        self._window = limits.block_bytes

    def read(self, pieces: Iterator[bytes], *, skip: int) -> None:
        """Read UTF-8 text to its end, without its first `skip` bytes (the header)."""
        waiting: list[bytes] = []
        size = 0
        last = b""
        for raw in pieces:
            piece = raw[skip:]
            self._lines_before += raw.count(b"\n", 0, skip)
            skip = max(0, skip - len(raw))
            if not piece:
                continue
            waiting.append(piece)
            size += len(piece)
            last = piece[-1:]
            if size >= self._limits.block_bytes:
                rest = self._consume(b"".join(waiting), final=False)
                waiting, size = [rest], len(rest)
        if last and last != b"\n":
            waiting.append(b"\n")
        self._consume(b"".join(waiting), final=True)
        self._spill.flush()

    def _consume(self, data: bytes, *, final: bool) -> bytes:
        """Read all complete records; answers the bytes that may belong to an incomplete one."""
        at = self._skip_line(data) if self._skipping else 0
        while at < len(data):
            taken = self._fast(data[at : at + self._window])
            if taken:
                self._window = min(self._window * 4, self._limits.block_bytes)
            else:
                taken = self._careful(data, at, final=final)
                if not taken:
                    break
                self._window = CAREFUL_BYTES
            at += taken
        rest = data[at:]
        return self._give_up(rest) if len(rest) > self._limits.max_row_bytes else rest

    def _fast(self, data: bytes) -> int:
        if not self._dialect.plain:
            return 0
        layout = find_records(data, self._dialect, self._width)
        text = keep(data, layout)
        if not layout.end or starts_like_a_mark(text):
            return 0
        kept = ~(layout.blank | layout.careful)
        frame = parse(text, self._dialect, self._names)
        if frame is None or frame.height != int(kept.sum()):
            return 0
        self.rows_read += frame.height
        self.blank_lines += int(layout.blank.sum())
        rows, places = self._mend(data, layout)
        if rows:
            order = np.argsort(np.concatenate((np.flatnonzero(kept), np.array(places))), kind="stable")
            frame = pl.concat([frame, self._frame(rows)])[order]
        self._spill.add(frame)
        self._lines_before += data.count(b"\n", 0, layout.end)
        return layout.end

    def _mend(self, data: bytes, layout: Layout) -> tuple[list[Row], list[int]]:
        """The rows of a block that needed care: those that could be loaded, and their places."""
        rows: list[Row] = []
        places: list[int] = []
        line, counted = self._lines_before, 0
        for place in np.flatnonzero(layout.careful & ~layout.blank):
            start, end = int(layout.starts[place]), int(layout.ends[place])
            line += data.count(b"\n", counted, start)
            counted = start
            raw = data[start:end]
            row = self._row(next(records(raw, 0, self._dialect, final=True)), raw, line + 1)
            if row is not None:
                rows.append(row)
                places.append(int(place))
        return rows, places

    def _careful(self, data: bytes, start: int, *, final: bool) -> int:
        """Read a stretch one record at a time; answers the bytes taken, 0 when the first record is incomplete."""
        rows: list[Row] = []
        end = start
        for record in records(data, start, self._dialect, final=final):
            if record.blank:
                comment = self._dialect.comment is not None and data.startswith(self._dialect.comment, record.start)
                self.comment_lines += comment
                self.blank_lines += not comment
            else:
                row = self._row(record, data[record.start : record.end], self._lines_before + 1)
                if row is not None:
                    rows.append(row)
            self._lines_before += data.count(b"\n", record.start, record.end)
            end = record.end
            if end - start >= CAREFUL_BYTES:
                break
        if rows:
            self._spill.add(self._frame(rows))
        return end - start

    def _row(self, record: Record, raw: bytes, line: int) -> Row | None:
        """The cells of one row, mended if that is allowed, or None when it is rejected."""
        self.rows_read += 1
        cells, reason, column = record.cells, record.reason, record.column
        if len(raw) > self._limits.max_row_bytes:
            reason, column = Reason.ROW_TOO_LONG, None
        elif cells is not None and len(cells) != self._width:
            missing = len(cells) < self._width
            if self._strict or any(cells[self._width :]):
                reason = Reason.MISSING_CELLS if missing else Reason.EXTRA_CELLS
                column = min(len(cells), self._width)
            elif missing:
                self.repaired_short += 1
            else:
                self.repaired_long += 1
        if cells is None or reason is not None:
            column = None if column is None else column + 1
            self._rejects.add(line=line, column=column, reason=reason or Reason.BAD_ENCODING, raw=raw)
            return None
        row: Row = [cell or None for cell in cells[: self._width]]
        return row + [None] * (self._width - len(row))

    def _frame(self, rows: list[Row]) -> pl.DataFrame:
        columns = zip(*rows, strict=True)
        return pl.DataFrame(
            [pl.Series(name, cells, pl.String) for name, cells in zip(self._names, columns, strict=True)]
        )

    def _give_up(self, rest: bytes) -> bytes:
        """A row without an end within the limit: reject what there is of it, and skip to the next line."""
        self.rows_read += 1
        self._rejects.add(line=self._lines_before + 1, column=None, reason=Reason.ROW_TOO_LONG, raw=rest)
        self._skipping = True
        end = self._skip_line(rest)
        return rest[end:]

    def _skip_line(self, data: bytes) -> int:
        end = data.find(b"\n") + 1
        self._skipping = not end
        self._lines_before += 1 if end else 0
        return end or len(data)
