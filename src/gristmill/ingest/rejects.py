"""Rejected rows: counted, kept with line, column, reason and raw text, and written as a table."""

from collections import Counter
from pathlib import Path

import polars as pl

from gristmill.domain.output import Output
from gristmill.errors import BadData
from gristmill.ingest.csv_records import Reason
from gristmill.writing import extent_of

TABLE = "rejected.parquet"
SCHEMA = {"line": pl.Int64, "column": pl.Int64, "reason": pl.String, "raw": pl.String}
BUFFERED_ROWS = 10_000
BUFFERED_BYTES = 8 * 1024 * 1024
MAX_RAW_BYTES = 64 * 1024


class Rejects:
    """Collects rejected rows in files of `scratch`. Raises BadData beyond `max_rejected` (count or share)."""

    def __init__(self, scratch: Path, max_rejected: int | float | None) -> None:
        self.count = 0
        self.reasons: Counter[Reason] = Counter()
        self._scratch = scratch
        self._max = max_rejected
        self._rows: list[tuple[int, int | None, str, str]] = []
        self._bytes = 0
        self._files: list[Path] = []

    def add(self, *, line: int, column: int | None, reason: Reason, raw: bytes) -> None:
        """`line` counts from 1; `column` from 1, None when the whole row is at fault; raw text up to 64 KiB is kept."""
        self.count += 1
        self.reasons[reason] += 1
        text = raw[:MAX_RAW_BYTES].rstrip(b"\r\n").decode("utf-8", "replace")
        self._rows.append((line, column, reason.value, text))
        self._bytes += len(text)
        if isinstance(self._max, int) and self.count > self._max:
            raise BadData(f"More than max_rejected={self._max} rows were rejected: {self.summary()}")
        if len(self._rows) >= BUFFERED_ROWS or self._bytes >= BUFFERED_BYTES:
            self._spill()

    def check(self, *, rows_read: int) -> None:
        """At the end: all rows rejected, or more than the share that is allowed."""
        if self.count and self.count == rows_read:
            raise BadData(f"All {rows_read} rows were rejected: {self.summary()}")
        if isinstance(self._max, float) and self.count > self._max * rows_read:
            raise BadData(f"More than max_rejected={self._max} of the rows were rejected: {self.summary()}")

    def summary(self) -> str:
        """`3 of extra cells, 1 of unclosed quote`: reasons and counts, none of the data."""
        return ", ".join(f"{count} for {reason}" for reason, count in self.reasons.most_common())

    def write(self, output: Output) -> None:
        """Write the table `rejected.parquet`, if there is any rejected row."""
        if not self.count:
            return
        self._spill()
        rows = pl.scan_ipc(self._files)
        output.table(TABLE, rows, extent=extent_of(rows))

    def _spill(self) -> None:
        if not self._rows:
            return
        path = self._scratch / f"rejected-{len(self._files):06d}.arrow"
        pl.DataFrame(self._rows, schema=SCHEMA, orient="row").write_ipc(path, compression="lz4")
        self._files.append(path)
        self._rows = []
        self._bytes = 0
