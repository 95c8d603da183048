"""A CSV text, block by block: the fast path where it can be, the careful reader where it must be; nothing lost."""

import re
from collections.abc import Iterator

import numpy as np
import polars as pl

from gristmill.errors import BadData
from gristmill.ingest.csv_blocks import Layout, find_records, keep, parse, starts_like_a_mark
from gristmill.ingest.csv_dialect import Shape
from gristmill.ingest.csv_footer import FOOTER_BYTES, find_footer
from gristmill.ingest.csv_others import OtherTables
from gristmill.ingest.csv_records import Reason, Record, records
from gristmill.ingest.options import MIB, IngestOptions, Limits
from gristmill.ingest.rejects import Rejects
from gristmill.ingest.spill import Spill

CAREFUL_BYTES = 64 * 1024
SKIPPED_FOOTER_BYTES = MIB
HELD_BLOCKS = 8
COMMENT = re.compile(rb"#+(?:[ \t]|\r?\n|$)")
"""How a line between the rows begins that is a comment, where it has not as many cells as they have."""
Row = list[str | None]


class CsvTable:
    """Reads rows into `spill` (text columns named "0", "1", …) and `rejects`.

    `rows_read == spill.rows + rejects.count` when `read` is done. Blank lines are no rows, nor are the lines that
    `skip_footer` leaves out. A footer that was found, and the rows of another table, are rows read and rejected.
    """

    def __init__(self, shape: Shape, options: IngestOptions, limits: Limits, spill: Spill, rejects: Rejects) -> None:
        self.rows_read = 0
        self.repaired_short = 0
        self.repaired_long = 0
        self.blank_lines = shape.blank_lines
        self.comment_lines = 0
        self.footer_lines = 0
        self.warnings: list[str] = []
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
        self._skip_footer = options.skip_footer
        look_at = SKIPPED_FOOTER_BYTES if options.skip_footer else FOOTER_BYTES
        self._held = min(look_at, HELD_BLOCKS * limits.block_bytes)
        self._between = shape.between
        self._comments = options.comment is None and shape.width > 1
        self._others = OtherTables(shape.dialect, shape.width, shape.header_line)

    def read(self, pieces: Iterator[bytes], *, skip: int) -> None:
        """Read UTF-8 text to its end, without its first `skip` bytes (the header)."""
        for line in self._between:
            self.rows_read += 1
            self._rejects.add(line=line.line, column=None, reason=line.reason, raw=line.raw)
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
            if size >= self._limits.block_bytes + self._held:
                rest = self._body(b"".join(waiting))
                waiting, size = [rest], len(rest)
        if last and last != b"\n":
            waiting.append(b"\n")
        self._end(b"".join(waiting))
        self._spill.flush()

    def _body(self, data: bytes) -> bytes:
        """Read all but the end, which may be a footer."""
        until = max(0, len(data) - self._held)
        return self._consume(data[:until], final=False) + data[until:]

    def _end(self, data: bytes) -> None:
        """Read the last rows, and tell the footer from them."""
        data = self._body(data)
        if self._skipping:
            data = data[self._skip_line(data) :]
        found = list(records(data, 0, self._dialect, final=True))
        start = len(found) if self._skip_footer is None else self._first_skipped(found)
        if self._skip_footer is None:
            start, warning = find_footer(found, self._width)
            self.warnings += [warning] if warning is not None and not self._strict else []
        self._consume(data[: found[start].start] if start < len(found) else data, final=True)
        rejected = self._leave_out(data, found[start:])
        if rejected:
            self.warnings.append(
                f"{rejected} lines at the end are no rows of the table (totals, notes): they are rejected as a footer"
            )
        if comments := self._rejects.reasons[Reason.COMMENT]:
            self.warnings.append(f"{comments} lines between the rows are comments: they are rejected (comment says)")
        self.warnings += self._others.warnings(self._rejects.reasons)

    def _first_skipped(self, found: list[Record]) -> int:
        """Where the lines that `skip_footer` leaves out begin. Raises BadData when that many can't be held."""
        places = [place for place, record in enumerate(found) if not record.blank]
        count = self._skip_footer or 0
        if count > len(places) and self.rows_read:
            raise BadData(f"skip_footer: the last {count} lines are longer than {self._held} bytes")
        return places[max(0, len(places) - count)] if count and places else len(found)

    def _leave_out(self, data: bytes, foot: list[Record]) -> int:
        """The lines of the footer: not rows when they were told, rejected rows when they were found out."""
        rejected = 0
        for record in foot:
            if record.blank:
                self.blank_lines += 1
            elif self._skip_footer is not None:
                self.footer_lines += 1
            else:
                self._reject(data[record.start : record.end], Reason.FOOTER)
                rejected += 1
            self._lines_before += data.count(b"\n", record.start, record.end)
        return rejected

    def _reject(self, raw: bytes, reason: Reason) -> None:
        self.rows_read += 1
        self._rejects.add(line=self._lines_before + 1, column=None, reason=reason, raw=raw)

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
        layout = self._others.decided(find_records(data, self._dialect, self._width))
        layout = self._others.marked(data, layout)
        text = keep(data, layout)
        if not layout.end or starts_like_a_mark(text):
            return 0
        kept = ~(layout.blank | layout.careful)
        frame = parse(text, self._dialect, self._names)
        if frame is None or frame.height != int(kept.sum()):
            return 0
        self.rows_read += frame.height
        self.blank_lines += int(layout.blank.sum())
        self._others.notice(data, layout)
        rows, places, other = self._mend(data, layout)
        self._others.after_blank = bool(layout.blank[-1])
        self._others.rows_after += int(kept[other:].sum())
        if rows:
            order = np.argsort(np.concatenate((np.flatnonzero(kept), np.array(places))), kind="stable")
            frame = pl.concat([frame, self._frame(rows)])[order]
        self._spill.add(frame)
        self._lines_before += data.count(b"\n", 0, layout.end)
        return layout.end

    def _mend(self, data: bytes, layout: Layout) -> tuple[list[Row], list[int], int]:
        """The rows of a block that needed care: those that could be loaded, and their places.

        And the place from which on rows are below the beginning of another table.
        """
        other = 0 if self._others.columns else len(layout.blank)
        rows: list[Row] = []
        places: list[int] = []
        line, counted = self._lines_before, 0
        for place in np.flatnonzero(layout.careful & ~layout.blank):
            start, end = int(layout.starts[place]), int(layout.ends[place])
            line += data.count(b"\n", counted, start)
            counted = start
            raw = data[start:end]
            record = next(records(raw, 0, self._dialect, final=True))._replace(start=start, end=end)
            gap = bool(layout.blank[place - 1]) if place else self._others.after_blank
            taken = self._others.take(record, data, gap=gap, final=True)
            other = min(other, int(place)) if taken is Reason.OTHER_TABLE else other
            row = self._row(record, raw, line + 1, no_row=taken or None)
            if row is not None:
                rows.append(row)
                places.append(int(place))
        return rows, places, other

    def _careful(self, data: bytes, start: int, *, final: bool) -> int:
        """Read a stretch one record at a time; answers the bytes taken, 0 when the first record is incomplete."""
        rows: list[Row] = []
        end = start
        for record in records(data, start, self._dialect, final=final):
            if record.blank:
                comment = self._dialect.comment is not None and data.startswith(self._dialect.comment, record.start)
                self.comment_lines += comment
                self.blank_lines += not comment
                self._others.after_blank |= not comment
            else:
                raw = data[record.start : record.end]
                other = self._others.take(record, data, gap=self._others.after_blank, final=final)
                if other is None:
                    break
                self._others.after_blank = False
                row = self._row(record, raw, self._lines_before + 1, no_row=other or None)
                if row is not None:
                    rows.append(row)
            self._lines_before += data.count(b"\n", record.start, record.end)
            end = record.end
            if end - start >= CAREFUL_BYTES:
                break
        if rows:
            self._spill.add(self._frame(rows))
        return end - start

    def _row(self, record: Record, raw: bytes, line: int, *, no_row: Reason | None) -> Row | None:
        """The cells of one row, mended if that is allowed, or None when it is rejected."""
        self.rows_read += 1
        cells, reason, column = record.cells, record.reason, record.column
        if len(raw) > self._limits.max_row_bytes:
            reason, column = Reason.ROW_TOO_LONG, None
        elif no_row is not None:
            reason, column = no_row, None
        elif cells is not None and len(cells) != self._width and self._comments and COMMENT.match(raw):
            reason, column = Reason.COMMENT, None
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
