"""Arrow IPC from outside, untrusted as Parquet is. A stream is cut into its batches, each kept as a file of its own."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.options import Limits
from gristmill.ingest.parquet import ParquetTable, decoding

MAGIC = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"
END_OF_STREAM = CONTINUATION + b"\0\0\0\0"
DICTIONARY, BATCH = 2, 3


class ArrowTable(ParquetTable):
    """One Arrow file, or a stream, kept in `scratch`."""

    label = "Arrow"

    def __init__(self, scratch: Path, limits: Limits) -> None:
        super().__init__(scratch, limits)
        self._scratch = scratch
        self._batches: list[Path] = []

    def store(self, pieces: Iterator[bytes]) -> None:
        """Keep the bytes. Raises BadData (truncated, corrupt) and TooLarge (one batch or all)."""
        super().store(pieces)
        with self._path.open("rb") as file:
            is_file = file.read(len(MAGIC)) == MAGIC
        if not is_file:
            self._cut()

    def _check_end(self, size: int) -> None:
        with self._path.open("rb") as file:
            begin = file.read(len(MAGIC))
            file.seek(max(0, size - len(MAGIC)))
            if begin == MAGIC and (file.read() != MAGIC or size < 2 * len(MAGIC) + 12):
                raise BadData("The Arrow file is truncated or corrupt: it does not end with a footer")

    def scan(self) -> pl.LazyFrame:
        """The rows, lazily."""
        return pl.scan_ipc(self._batches or self._path)

    def drop(self) -> None:
        """Remove what is kept."""
        for path in (self._path, *self._batches):
            path.unlink(missing_ok=True)

    def _cut(self) -> None:
        """Each batch with the schema and the dictionaries before it is a stream that is read alone."""
        with self._path.open("rb") as file:
            schema, messages = b"", self._messages(file)
            dictionaries: list[bytes] = []
            for kind, message in messages:
                if not schema:
                    schema = message
                elif kind == DICTIONARY:
                    dictionaries.append(message)
                elif kind == BATCH:
                    self._keep(b"".join((schema, *dictionaries, message, END_OF_STREAM)))
            if not self._batches:
                self._keep(schema + END_OF_STREAM)

    def _keep(self, stream: bytes) -> None:
        path = self._scratch / f"batch-{len(self._batches):06d}.arrow"
        with decoding(self.label):
            frame = pl.read_ipc_stream(io.BytesIO(stream))
        frame.write_ipc(path, compression="lz4")
        self._batches.append(path)

    def _messages(self, file: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
        """The kind of each message and its bytes, body included."""
        while (prefix := file.read(8)) not in (b"", END_OF_STREAM):
            if len(prefix) < 8 or not prefix.startswith(CONTINUATION):
                raise BadData("The Arrow stream is truncated or corrupt")
            (length,) = struct.unpack("<I", prefix[4:])
            if length > self._limits.max_footer_bytes:
                raise TooLarge(f"max_footer_bytes: a message of the Arrow stream has a head of {length} bytes")
            head = file.read(length)
            kind, body = _described(head)
            if body > self._limits.max_batch_bytes:
                raise TooLarge(f"max_batch_bytes: a batch of the Arrow stream has {body} bytes")
            content = file.read(body)
            if len(head) < length or len(content) < body:
                raise BadData("The Arrow stream is truncated")
            yield kind, prefix + head + content


def _described(head: bytes) -> tuple[int, int]:
    """The kind of a message and its body's length: fields 1 and 3 of its flatbuffer (Message.fbs of Arrow)."""
    try:
        (root,) = struct.unpack_from("<I", head)
        (back,) = struct.unpack_from("<i", head, root)
        table = root - back
        (size,) = struct.unpack_from("<H", head, table)
        offsets = struct.unpack_from(f"<{(min(size, 12) - 4) // 2}H", head, table + 4)
        kind = struct.unpack_from("<B", head, root + offsets[1])[0]
        body = struct.unpack_from("<q", head, root + offsets[3])[0] if len(offsets) > 3 and offsets[3] else 0
    except (struct.error, IndexError) as error:
        raise BadData("The Arrow stream is truncated or corrupt") from error
    if body < 0:
        raise BadData("The Arrow stream is corrupt")
    return kind, body
