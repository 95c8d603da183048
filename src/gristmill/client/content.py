"""What is uploaded: a file, bytes, an open file, or a Polars frame; each as bytes that come piece by piece."""

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeAlias

from gristmill.client.transport import CHUNK_BYTES

if TYPE_CHECKING:
    import polars as pl

Source: TypeAlias = "str | Path | bytes | BinaryIO | pl.DataFrame | pl.LazyFrame"
OnSent = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class Content:
    """Bytes to send. `open` begins at their start; `size` None: not known before the end. `again`: it can be opened
    more than once.
    """

    name: str
    open: Callable[[], IO[bytes]]
    size: int | None
    again: bool
    format: str | None = None

    def pieces(self, on_sent: OnSent, digest: Any = None) -> Iterator[bytes]:
        """All of it. `on_sent` gets the bytes so far, `digest` is updated with them."""
        sent = 0
        source = self.open()
        try:
            while piece := source.read(CHUNK_BYTES):
                yield piece
                if digest is not None:
                    digest.update(piece)
                sent += len(piece)
                on_sent(sent)
        finally:
            self._close(source)

    def sha256(self) -> bytes:
        """Reads it to its end."""
        digest = hashlib.sha256()
        for piece in self.pieces(lambda sent: None):
            digest.update(piece)
        return digest.digest()

    def _close(self, source: IO[bytes]) -> None:
        if not isinstance(source, _Lent):
            source.close()


class _Lent(io.BufferedIOBase):
    """A caller's open file from where it stood. It is the caller's to close."""

    def __init__(self, file: IO[bytes], start: int | None) -> None:
        super().__init__()
        self._file = file
        if start is not None:
            file.seek(start)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)


@contextmanager
def content_of(source: Any, name: str | None) -> Iterator[Content]:
    """The content of whatever may be uploaded.

    Raises:
        TypeError: it is nothing of that kind.
        OSError: the file can't be read.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        size = path.stat().st_size
        yield Content(name=name or path.name, open=lambda: path.open("rb"), size=size, again=True)
    elif isinstance(source, bytes | bytearray | memoryview):
        whole = bytes(source)
        yield Content(name=name or "upload", open=lambda: io.BytesIO(whole), size=len(whole), again=True)
    elif type(source).__module__.partition(".")[0] == "polars":
        with tempfile.TemporaryFile() as file:
            _write(source, file)
            size = file.tell()
            named = name or "frame.parquet"
            yield Content(name=named, open=lambda: _lent(file, 0), size=size, again=True, format="parquet")
    elif hasattr(source, "read"):
        yield _of_file(source, name)
    else:
        raise TypeError(f"A {type(source).__name__} can't be uploaded: give a path, bytes, a binary file or a frame")


def _of_file(file: IO[bytes], name: str | None) -> Content:
    own = getattr(file, "name", None)
    named = name or (Path(own).name if isinstance(own, str) and not own.startswith("<") else "upload")
    if not (hasattr(file, "seekable") and file.seekable()):
        return Content(name=named, open=lambda: _lent(file, None), size=None, again=False)
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    return Content(name=named, open=lambda: _lent(file, start), size=size, again=True)


def _lent(file: IO[bytes], start: int | None) -> IO[bytes]:
    lent: Any = _Lent(file, start)
    return lent  # type: ignore[no-any-return]


def _write(frame: Any, file: IO[bytes]) -> None:
    """A frame as Parquet; a lazy one is computed in Polars' streaming engine, never held as a whole."""
    if hasattr(frame, "sink_parquet"):
        frame.sink_parquet(file)
    elif hasattr(frame, "write_parquet"):
        frame.write_parquet(file)
    else:
        raise TypeError(f"A {type(frame).__name__} can't be uploaded: give a DataFrame or a LazyFrame")
