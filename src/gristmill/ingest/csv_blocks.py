"""The fast CSV path: where the records of a block are, told by numpy, and their cells, read by Polars.

A block goes this way as far as its quotes are regular: each opens at the beginning of a cell, and closes before a
delimiter or line end, or is doubled. Polars is only given records known to have the right number of cells, because it
fills short rows with nulls silently and drops extra cells or stops at them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.ingest.csv_records import CR, LF, Dialect

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# A separator that splits nothing: files of one column.
NO_DELIMITER = b"\x1f"
BOM = "\ufeff".encode()


@dataclass(frozen=True, slots=True)
class Layout:
    """Records of a block: where each starts and ends (line end included), which are blank, which need care."""

    starts: Positions
    ends: Positions
    blank: Mask
    careful: Mask

    @property
    def end(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0


def find_records(data: bytes, dialect: Dialect, width: int) -> Layout:
    """The complete records at the beginning of `data` whose quotes are regular; may be none."""
    text = np.frombuffer(data, dtype=np.uint8)
    line_ends = np.flatnonzero(text == LF)
    delimiters = np.flatnonzero(text == dialect.delimiter[0]) if dialect.delimiter else np.empty(0, np.int64)
    if dialect.quote is not None and dialect.quote in data:
        is_quote = text == dialect.quote[0]
        within = np.bitwise_xor.accumulate(is_quote)
        line_ends = line_ends[~within[line_ends]]
        delimiters = delimiters[~within[delimiters]]
        line_ends = line_ends[line_ends < _first_irregular(text, np.flatnonzero(is_quote), dialect)]
        # A long record may be a quote that was never meant to open: the careful reader decides, alone.
        long = np.flatnonzero(np.diff(line_ends, prepend=-1) > dialect.max_cell_bytes)
        line_ends = line_ends[: int(long[0])] if len(long) else line_ends
    ends = line_ends + 1
    starts = np.concatenate((np.zeros(1, np.int64), ends))[:-1]
    lengths = ends - starts
    cells = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    blank = (lengths == 1) | ((lengths == 2) & (text[starts] == CR))
    careful = ((cells != width) | (lengths > dialect.max_cell_bytes)) & ~blank
    return Layout(starts, ends, blank, careful | _badly_encoded(data, text, starts, ends))


def _first_irregular(text: npt.NDArray[np.uint8], quotes: Positions, dialect: Dialect) -> int:
    """Where the first irregular quote is, or the end of the text: records ending before it are safe."""
    padded = np.concatenate((np.array([LF], np.uint8), text, np.array([LF], np.uint8)))
    delimiter = (dialect.delimiter or NO_DELIMITER)[0]
    quote = text[quotes[0]]
    opening, closing = quotes[0::2], quotes[1::2]
    before, after = padded[opening], padded[closing + 2]
    good_open = (before == LF) | (before == delimiter) | (before == quote)
    # A carriage return after a closing quote is left to the careful reader unless a line feed follows.
    next_but_one = padded[np.minimum(closing + 3, len(padded) - 1)]
    line_end = (after == LF) | ((after == CR) & (next_but_one == LF))
    good_close = line_end | (after == delimiter) | (after == quote)
    bad = np.concatenate((opening[~good_open], closing[~good_close]))
    return int(bad.min()) if len(bad) else len(text)


def _badly_encoded(data: bytes, text: npt.NDArray[np.uint8], starts: Positions, ends: Positions) -> Mask:
    marked = np.zeros(len(ends), np.bool_)
    if data.isascii() or not len(ends) or _is_utf8(data[: int(ends[-1])]):
        return marked
    high = np.flatnonzero(text[: int(ends[-1])] >= 0x80)
    for record in np.unique(np.searchsorted(ends, high, side="right")):
        marked[record] = not _is_utf8(data[starts[record] : ends[record]])
    return marked


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def keep(data: bytes, layout: Layout) -> bytes:
    """The bytes of the records that are neither blank nor need care, in their order."""
    good = ~(layout.blank | layout.careful)
    if good.all():
        return data[: layout.end]
    edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
    runs = zip(layout.starts[edges[0::2]], layout.ends[edges[1::2] - 1], strict=True)
    return b"".join(data[start:end] for start, end in runs)


def parse(text: bytes, dialect: Dialect, names: list[str]) -> pl.DataFrame | None:
    """Cells of regular records, all as text; an empty cell is null. Shape: records x names.

    None where Polars does not agree that they are regular: the careful reader then has the last word.
    """
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    has_quotes = dialect.quote is not None and dialect.quote in text
    try:
        frame = pl.read_csv(
            text,
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            separator=(dialect.delimiter or NO_DELIMITER).decode(),
            quote_char=dialect.quote.decode() if dialect.quote and has_quotes else None,
        )
    except pl.exceptions.ComputeError:
        return None
    if has_quotes:
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return frame


def starts_like_a_mark(text: bytes) -> bool:
    """Polars drops a byte order mark at the beginning of what it is given: within a file it is data."""
    return text.startswith(BOM)
