"""Further tables in one CSV text: names above rows of another width, after a blank line, with a title or without.

Once one has begun, all rows of another shape than the first table's are its rows, or those of tables after it. The
header once more, as in files put behind each other, is no row either. Other names after a blank line, of as many
columns, are told, and read as a row: they may be one.
"""

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Literal

import numpy as np

from gristmill.ingest.csv_blocks import BOM, Layout
from gristmill.ingest.csv_footer import begins_table
from gristmill.ingest.csv_records import Dialect, Reason, Record, records
from gristmill.ingest.csv_values import tells_values

LOOK_AHEAD = 2
"""Rows below a line that tell whether a table begins with it: its names and a row, below a title."""
MOST_GAPS = 100
"""After so many blank lines, no more is told of names like a header's."""


class OtherTables:
    """Tells their rows from those of the table of `width` columns, record by record in their order."""

    def __init__(self, dialect: Dialect, width: int, header: bytes) -> None:
        self.columns = 0
        self.after_blank = False
        self.rows_after = 0
        self._dialect = dialect
        self._width = width
        # One cell that is as the only name may well be a value.
        self._header = header if width > 1 else b""
        self._names = next(records(header, 0, dialect, final=True)).cells if self._header else None
        self._gaps = 0
        self._named = 0

    def marked(self, data: bytes, layout: Layout) -> Layout:
        """The same, with headers once more as records that need care."""
        careful = layout.careful.copy()
        at = data.find(self._header) if self._header else -1
        while at >= 0:
            # Files put behind each other may have their marks with them.
            start = at - len(BOM) if data.startswith(BOM, at - len(BOM)) else at
            place = int(np.searchsorted(layout.starts, start))
            if place < len(layout.starts) and layout.starts[place] == start:
                careful[place] = True
            at = data.find(self._header, at + 1)
        return replace(layout, careful=careful)

    def decided(self, layout: Layout) -> Layout:
        """The records up to one that can't be told yet, for want of rows below it. It must not depend on the block."""
        if self.columns:
            return layout
        rows = np.flatnonzero(~layout.blank)
        for place in rows[-LOOK_AHEAD:]:
            if layout.blank[place - 1] if place else self.after_blank:
                return Layout(layout.starts[:place], layout.ends[:place], layout.blank[:place], layout.careful[:place])
        return layout

    def notice(self, data: bytes, layout: Layout) -> None:
        """Look at the regular rows after blank lines."""
        before = np.concatenate(([self.after_blank], layout.blank[:-1]))
        for place in np.flatnonzero(before & ~layout.blank & ~layout.careful):
            if self.columns or self._gaps >= MOST_GAPS:
                return
            start = int(layout.starts[place])
            self._look([row for row in islice(records(data, start, self._dialect, final=True), 4) if not row.blank])

    def take(self, record: Record, data: bytes, *, gap: bool, final: bool) -> Reason | Literal[False] | None:
        """Why the record, after a blank line or not, is no row; False: it is. None: the rows below it are needed."""
        cells = record.cells
        if self._is_header(record):
            return Reason.REPEATED_HEADER
        if cells is None or (len(cells) == self._width and (not gap or self.columns)):
            self.rows_after += bool(self.columns and cells)
            return False
        if gap and not self.columns:
            below = (row for row in records(data, record.end, self._dialect, final=final) if not row.blank)
            after = list(islice(below, LOOK_AHEAD))
            if len(after) < LOOK_AHEAD and not final:
                return None
            if len(cells) == 1 and after and self._is_header(after[0]):
                return Reason.REPEATED_HEADER
            self.columns = begins_table(record, after, self._width)
            if len(cells) == self._width:
                self._look([record, *after])
        return Reason.OTHER_TABLE if self.columns else False

    def _is_header(self, record: Record) -> bool:
        """Whether it is the header once more, with a byte order mark or without."""
        if record.cells is None or self._names is None:
            return False
        first, *rest = record.cells or [""]
        return [first.removeprefix("\ufeff"), *rest] == self._names

    def _look(self, rows: list[Record]) -> None:
        """Whether the first row, after a blank line, is of names above values."""
        self._gaps += 1
        named = self._gaps <= MOST_GAPS and len(rows) > 1 and len(rows[0].cells or ()) == self._width
        self._named += named and tells_values(rows[:2])

    def warnings(self, rejected: Counter[Reason]) -> list[str]:
        found = []
        if repeated := rejected[Reason.REPEATED_HEADER]:
            found.append(f"The header comes {repeated} times more: these lines are rejected")
        if self._named and not self.columns:
            found.append(
                f"{self._named} rows after a blank line look like the names of another table's columns: they and the "
                "rows below them are read as rows of this one"
            )
        if self.columns:
            found.append(
                f"The file holds more than one table: {rejected[Reason.OTHER_TABLE]} lines after a blank line, "
                f"of a table of {self.columns} columns at first, are rejected"
            )
        if self.rows_after:
            found.append(
                f"{self.rows_after} rows below the beginning of another table have as many cells as this one's: "
                "they are read as its rows"
            )
        return found
