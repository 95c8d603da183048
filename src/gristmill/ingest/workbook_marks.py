"""What a sheet's values do not tell: formulas that nobody has computed, and cells merged with the one above.

Both are read as empty cells. They are looked for in the XML of the sheet itself, as reading the workbook a second time
for its formulas takes as long as the first.
"""

import re
from typing import IO, NamedTuple

from gristmill.ingest.options import MIB

WINDOW_BYTES = MIB
_PREFIX = rb"(?:\w+:)?"
# A cell with a formula and without a value after it; of a formula's text, XML leaves no sign "<" in it.
UNCOMPUTED = re.compile(
    rb"<%(p)sc\b([^>]*)>\s*<%(p)sf\b(?:[^>]*/>|[^>]*>[^<]*</%(p)sf\s*>)"
    rb"\s*(?:<%(p)sv\s*/>|<%(p)sv\s*>\s*</%(p)sv\s*>)?\s*</%(p)sc\s*>" % {b"p": _PREFIX}
)
REFERENCE = re.compile(rb"\br=\"([A-Z]+[0-9]+)\"")
MERGED = re.compile(rb"<%(p)smergeCell\b[^>]*\bref=\"([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)\"" % {b"p": _PREFIX})


class Marks(NamedTuple):
    """How many cells, and the first of them (a range where it is merged)."""

    uncomputed: int = 0
    first_uncomputed: str = ""
    below: int = 0
    first_merged: str = ""

    def warnings(self) -> list[str]:
        told = []
        if self.uncomputed:
            told.append(
                f"{self.uncomputed} formulas have no stored value and are read as null (the first: "
                f"{self.first_uncomputed or 'not named'}): open the workbook in a spreadsheet program and save it"
            )
        if self.below:
            told.append(
                f"{self.below} cells are merged with one above them and are read as null (the first: "
                f"{self.first_merged}): fill_nulls with the strategy forward fills them"
            )
        return told


def find_marks(sheet: IO[bytes]) -> Marks:
    """The marks of a sheet's XML, read window by window."""
    marks, kept = Marks(), b""
    while piece := sheet.read(WINDOW_BYTES):
        window = kept + piece
        # What is not ended yet is looked at again with what follows; a cell is shorter than a window.
        cut = max(window.rfind(b"<c ", 0), window.rfind(b":c ", 0), window.rfind(b"mergeCell ", 0))
        cut = window.rfind(b"<", 0, cut + 1) if cut > 0 and len(window) - cut < WINDOW_BYTES else len(window)
        marks = _seen(window[:cut], marks)
        kept = window[cut:]
    return _seen(kept, marks)


def _seen(text: bytes, marks: Marks) -> Marks:
    for found in UNCOMPUTED.finditer(text):
        name = REFERENCE.search(found[1])
        first = marks.first_uncomputed if marks.uncomputed else (name[1].decode() if name else "")
        marks = marks._replace(uncomputed=marks.uncomputed + 1, first_uncomputed=first)
    for found in MERGED.finditer(text):
        rows, columns = int(found[4]) - int(found[2]), _number(found[3]) - _number(found[1]) + 1
        if rows > 0:
            reference = b"".join((found[1], found[2], b":", found[3], found[4])).decode()
            first = marks.first_merged or reference
            marks = marks._replace(below=marks.below + rows * columns, first_merged=first)
    return marks


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
