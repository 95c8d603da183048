"""Further tables in one CSV text: names above rows of another width, after a blank line, with a title or without.

Once one has begun, all rows of another shape than the first table's are its rows, or those of tables after it.
"""

from itertools import islice

import numpy as np

from gristmill.ingest.csv_blocks import Layout
from gristmill.ingest.csv_footer import begins_table
from gristmill.ingest.csv_records import Dialect, Record, records

LOOK_AHEAD = 2
"""Rows below a line that tell whether a table begins with it: its names and a row, below a title."""


class OtherTables:
    """Tells their rows from those of the table of `width` columns, record by record in their order."""

    def __init__(self, dialect: Dialect, width: int) -> None:
        self.columns = 0
        self.after_blank = False
        self.rows_after = 0
        self._dialect = dialect
        self._width = width

    def decided(self, layout: Layout) -> Layout:
        """The records up to one that can't be told yet, for want of rows below it. It must not depend on the block."""
        if self.columns:
            return layout
        rows = np.flatnonzero(~layout.blank)
        for place in rows[-LOOK_AHEAD:]:
            if layout.careful[place] and (layout.blank[place - 1] if place else self.after_blank):
                return Layout(layout.starts[:place], layout.ends[:place], layout.blank[:place], layout.careful[:place])
        return layout

    def take(self, record: Record, data: bytes, *, gap: bool, final: bool) -> bool | None:
        """Whether the record, after a blank line or not, is of another table. None: the rows below it are needed."""
        cells = record.cells
        if cells is None or len(cells) == self._width:
            self.rows_after += bool(self.columns and cells)
            return False
        if gap and not self.columns:
            below = (row for row in records(data, record.end, self._dialect, final=final) if not row.blank)
            after = list(islice(below, LOOK_AHEAD))
            if len(after) < LOOK_AHEAD and not final:
                return None
            self.columns = begins_table(record, after, self._width)
        return self.columns > 0

    def warnings(self, rejected: int) -> list[str]:
        found = []
        if self.columns:
            found.append(
                f"The file holds more than one table: {rejected} lines after a blank line, of a table of "
                f"{self.columns} columns at first, are rejected"
            )
        if self.rows_after:
            found.append(
                f"{self.rows_after} rows below the beginning of another table have as many cells as this one's: "
                "they are read as its rows"
            )
        return found
