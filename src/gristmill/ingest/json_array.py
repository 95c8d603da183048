"""A JSON array ─▶ NDJSON, one element a line, while it streams: brackets and strings are told by numpy, block by block.

An element is only cut out here; whether it is JSON is decided where lines are read. A line end within a string, which
JSON does not allow, becomes a control character, so that its element is rejected as it would have been.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gristmill.ingest.options import MIB

QUOTE, BACKSLASH, COMMA, LF = 34, 92, 44, 10
OPENING = (91, 123)
CLOSING = (93, 125)
BLOCK_BYTES = MIB
Text = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

NOT_CLOSED = "The JSON array is not closed: the file may be cut off"


class JsonArray:
    """The state between blocks: how deep, whether in a string, whether an escape sign waits; `closed` at the end."""

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._in_string = False
        self._escaping = False
        self._trailing = False

    def lines(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The text of the elements; what follows the array is a line of its own. `pieces` begin with `[`."""
        for piece in pieces:
            for start in range(0, len(piece), BLOCK_BYTES):
                yield self._block(piece[start : start + BLOCK_BYTES])

    def _block(self, data: bytes) -> bytes:
        text = np.frombuffer(data, dtype=np.uint8).copy()
        if self.closed:
            return self._after(data)
        quotes = (text == QUOTE) & ~self._escaped(text)
        inside = np.bitwise_xor.accumulate(quotes) ^ self._in_string
        steps = np.isin(text, OPENING).astype(np.int64) - np.isin(text, CLOSING)
        steps[inside] = 0
        depth = self._depth + np.cumsum(steps)
        self._in_string, self._depth = bool(inside[-1]), int(depth[-1])
        line_ends = text == LF
        text[line_ends & inside] = 1
        text[line_ends & ~inside] = 32
        opened = np.flatnonzero((depth == 1) & (steps == 1))
        if len(opened) and (opened[0] == 0 or not depth[: opened[0]].any()):
            text[opened[0]] = 32
        text[(text == COMMA) & ~inside & (depth == 1)] = LF
        ends = np.flatnonzero((depth <= 0) & (steps == -1))
        if len(ends):
            self.closed = True
            end = int(ends[0])
            return text[:end].tobytes() + b"\n" + self._after(data[end + 1 :])
        return text.tobytes()

    def _after(self, data: bytes) -> bytes:
        """What follows the array is one row, and no JSON: the bracket before it sees to that."""
        if not self._trailing:
            data = data.lstrip()
            self._trailing = bool(data)
            data = b"]" + data if data else b""
        return data.replace(b"\n", b" ")

    def _escaped(self, text: Text) -> Mask:
        """Which bytes have an odd run of backslashes before them."""
        backslash = text == BACKSLASH
        before = np.concatenate((np.array([self._escaping]), backslash[:-1]))
        if not before.any() and not backslash[-1]:
            self._escaping = False
            return before
        places = np.arange(len(text), dtype=np.int64)
        last_other = np.maximum.accumulate(np.where(backslash, -1, places))
        # A run that began before this block is odd there if an escape sign waits, even if not.
        run = places - last_other + (self._escaping & (last_other < 0))
        odd = backslash & (run % 2 == 1)
        escaped = np.concatenate((np.array([self._escaping]), odd[:-1]))
        self._escaping = bool(odd[-1])
        return escaped
