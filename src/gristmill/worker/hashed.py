"""The SHA-256 of an original that we did not receive ourselves, found out while ingest reads it."""

import hashlib
import io
from collections.abc import Callable
from contextlib import closing
from typing import Any, BinaryIO, cast

CHUNK_BYTES = 1024 * 1024


class Hashed:
    """Opens an original, again and again if need be, and knows its digest after one reading to the end."""

    def __init__(self, source: Callable[[], io.RawIOBase]) -> None:
        self._source = source
        self._digest: str | None = None

    def source(self) -> BinaryIO:
        return cast("BinaryIO", self._source())

    def open(self) -> BinaryIO:
        """The same, digested as it is read."""
        return cast("BinaryIO", _Digested(self._source(), self._note))

    def sha256(self) -> str:
        """In hex. Reads the original if nobody has read it to its end: some formats need not."""
        if self._digest is None:
            with closing(self.open()) as stream:
                while stream.read(CHUNK_BYTES):
                    pass
        if self._digest is None:
            raise ValueError("the end of the original was not seen")
        return self._digest

    def _note(self, digest: str) -> None:
        self._digest = digest


class _Digested(io.RawIOBase):
    def __init__(self, source: io.RawIOBase, on_end: Callable[[str], None]) -> None:
        super().__init__()
        self._source = source
        self._on_end = on_end
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size = self._source.readinto(buffer)
        if size:
            self._digest.update(memoryview(buffer).cast("B")[:size])
        elif size == 0:
            self._on_end(self._digest.hexdigest())
        return size

    def close(self) -> None:
        self._source.close()
        super().close()
