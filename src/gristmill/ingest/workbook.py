"""An Excel workbook (.xlsx) ─▶ the CSV text of one sheet, row by row; a row of the sheet is a line of the text."""

import csv
import datetime as dt
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from defusedxml.common import DefusedXmlException

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.options import MIB, Limits
from gristmill.ingest.workbook_marks import find_marks

CHUNK_ROWS = 1000
MAX_ENTRIES = 10_000
# Read as a whole, unlike the sheets.
MAX_SHARED_TEXT = 64 * MIB
# What the readers of ZIP, XML and workbooks raise over broken files, as `tests/ingest/corruption.py` met it.
FAULTS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    ParseError,
    DefusedXmlException,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    OSError,
)


class Workbook:
    """One workbook, kept in `scratch` because its directory is at its end."""

    def __init__(self, scratch: Path, limits: Limits, sheet: str | None) -> None:
        self.sheet = ""
        self.warnings: list[str] = []
        self._path = scratch / "original.xlsx"
        self._limits = limits
        self._asked = sheet

    def store(self, pieces: Iterator[bytes]) -> None:
        """Keep the bytes and look at the directory. Raises BadData (no workbook) and TooLarge (expanded)."""
        size = 0
        with self._path.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > self._limits.max_expanded_bytes:
                    raise TooLarge(f"max_expanded_bytes: the file is over {self._limits.max_expanded_bytes} bytes")
                file.write(piece)
        with _reading(), zipfile.ZipFile(self._path) as archive:
            entries = archive.infolist()
        names = {entry.filename for entry in entries}
        if "[Content_Types].xml" not in names or not any(name.startswith("xl/") for name in names):
            raise BadData("The file is a ZIP archive, but no Excel workbook (.xlsx)")
        self._check(entries, size)

    def _check(self, entries: list[zipfile.ZipInfo], size: int) -> None:
        """What an entry says of its size is held to when it is read."""
        expanded = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ENTRIES:
            raise TooLarge(f"The workbook has more than {MAX_ENTRIES} parts")
        if expanded > self._limits.max_expanded_bytes:
            raise TooLarge(f"max_expanded_bytes: the workbook expands to {expanded} bytes")
        if expanded > max(64 * MIB, self._limits.max_expansion_ratio * size):
            ratio = self._limits.max_expansion_ratio
            raise TooLarge(f"max_expansion_ratio: the workbook expands more than {ratio} times")
        if any(e.file_size > MAX_SHARED_TEXT for e in entries if not e.filename.startswith("xl/worksheets/")):
            raise TooLarge(f"The texts of the workbook are larger than {MAX_SHARED_TEXT} bytes")

    def text(self) -> Iterator[bytes]:
        """The sheet as CSV: comma, quotation marks, LF."""
        with _reading():
            book = openpyxl.load_workbook(self._path, read_only=True, data_only=True, keep_links=False)
            sheet = self._chosen(book)
            sheet.reset_dimensions()
            width = 0
            lines = io.StringIO()
            writer = csv.writer(lines, lineterminator="\n")
            for number, row in enumerate(sheet.iter_rows(max_col=self._limits.max_columns + 1), start=1):
                cells = [_text(cell.value, cell.number_format) if cell.value is not None else "" for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    width = max(width, len(cells))
                    writer.writerow(cells + [""] * (width - len(cells)))
                else:
                    lines.write("\n")
                if number % CHUNK_ROWS == 0:
                    yield lines.getvalue().encode("utf-8", "replace")
                    lines.seek(0)
                    lines.truncate()
            with sheet._get_source() as source:  # noqa: SLF001 (nothing public has a sheet's own XML)
                self.warnings += find_marks(source).warnings()
            book.close()
        yield lines.getvalue().encode("utf-8", "replace")
        self._path.unlink()

    def _chosen(self, book: Any) -> Any:
        sheets = book.worksheets
        visible = [sheet for sheet in sheets if sheet.sheet_state == "visible"] or sheets
        if self._asked is not None:
            visible = [sheet for sheet in sheets if sheet.title == self._asked]
        if not visible:
            raise BadData("The workbook has no such sheet" if sheets else "The workbook has no sheet")
        if self._asked is None and len(sheets) > 1:
            self.warnings.append(f"The workbook has {len(sheets)} sheets: the first is read (sheet names another)")
        self.sheet = visible[0].title
        return visible[0]


def _text(value: Any, number_format: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, dt.datetime):
        day = value.time() == dt.time.min and "h" not in number_format.lower()
        return value.date().isoformat() if day else value.isoformat(sep=" ")
    if isinstance(value, dt.timedelta):
        return _clock(value)
    return str(value)


def _clock(value: dt.timedelta) -> str:
    """Hours, minutes and seconds, as a spreadsheet shows a duration: 25:30:00."""
    seconds = abs(value) // dt.timedelta(seconds=1)
    fraction = f".{micros:06d}" if (micros := (abs(value) % dt.timedelta(seconds=1)).microseconds) else ""
    sign = "-" if value < dt.timedelta() else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


@contextmanager
def _reading() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that are not read
        try:
            yield
        except FAULTS as error:
            kind = type(error).__name__
            raise BadData(f"The Excel workbook is corrupt or uses what can't be read ({kind})") from error
