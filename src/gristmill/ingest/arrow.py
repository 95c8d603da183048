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
SIZE_BYTES = 8


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
        if is_file:
            self._check_batches()
        else:
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

    def _check_batches(self) -> None:
        """Each batch that the footer names must lie in the file, and say the truth of its size."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            file.seek(size - len(MAGIC) - 4)
            (length,) = struct.unpack("<I", file.read(4))
            if length > self._limits.max_footer_bytes:
                raise TooLarge(f"max_footer_bytes: the footer of the Arrow file has {length} bytes")
            if length > size - 2 * len(MAGIC) - 4:
                raise BadData("The Arrow file is truncated or corrupt: it does not end with a footer")
            file.seek(size - len(MAGIC) - 4 - length)
            for offset, head_bytes, body in _blocks(file.read(length)):
                if min(offset, head_bytes, body) < 0 or offset + head_bytes + body > size:
                    raise BadData("The Arrow file is corrupt: a batch lies outside of it")
                if body > self._limits.max_batch_bytes:
                    raise TooLarge(f"max_batch_bytes: a batch of the Arrow file has {body} bytes")
                file.seek(offset)
                head = file.read(head_bytes)
                head = head[8 if head.startswith(CONTINUATION) else 4 :]
                self._check_buffers(head, file.read(body))

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
            if kind in (DICTIONARY, BATCH):
                self._check_buffers(head, content)
            yield kind, prefix + head + content

    def _check_buffers(self, head: bytes, content: bytes) -> None:
        """A compressed buffer begins with the size it will have. Polars takes it at its word: a lie ends the process
        ("memory allocation failed").
        """
        expanded = 0
        for offset, length in _compressed(head):
            if not (offset >= 0 and length >= 0 and offset + length <= len(content)):
                raise BadData("The Arrow data is corrupt: a buffer lies outside of its batch")
            size = struct.unpack_from("<q", content, offset)[0] if length >= SIZE_BYTES else 0
            if size < -1:  # -1: it is not compressed after all
                raise BadData("The Arrow data is corrupt: a buffer of a negative size")
            expanded += max(size, 0)
        if expanded > self._limits.max_batch_bytes:
            raise TooLarge(f"max_batch_bytes: a batch of the Arrow data expands to {expanded} bytes")


def _compressed(head: bytes) -> list[tuple[int, int]]:
    """Offset and length of each buffer of a message's batch, if they are compressed.

    Fields 2 and 3 of RecordBatch, which a dictionary has in its field 1 (Message.fbs of Arrow).
    """
    try:
        (root,) = struct.unpack_from("<I", head)
        kind = head[_field(head, root, 1)]
        batch = _field(head, root, 2)
        batch += struct.unpack_from("<I", head, batch)[0]
        if kind == DICTIONARY:
            batch = _field(head, batch, 1)
            batch += struct.unpack_from("<I", head, batch)[0]
        buffers = _field(head, batch, 2)
        if not buffers or not _field(head, batch, 3):
            return []
        buffers += struct.unpack_from("<I", head, buffers)[0]
        (count,) = struct.unpack_from("<I", head, buffers)
        if buffers + 4 + 16 * count > len(head):
            raise BadData("The Arrow data is corrupt: it has more buffers than room for them")
        return list(struct.iter_unpack("<qq", head[buffers + 4 : buffers + 4 + 16 * count]))
    except (struct.error, IndexError) as error:
        raise BadData("The Arrow data is truncated or corrupt") from error


def _blocks(footer: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, length of the head and of the body of each dictionary and batch: fields 2 and 3 of Footer (File.fbs)."""
    try:
        (root,) = struct.unpack_from("<I", footer)
        for number in (2, 3):
            at = _field(footer, root, number)
            if not at:
                continue
            at += struct.unpack_from("<I", footer, at)[0]
            (count,) = struct.unpack_from("<I", footer, at)
            if at + 4 + 24 * count > len(footer):
                raise BadData("The Arrow file is corrupt: its footer names more batches than it has room for")
            yield from struct.iter_unpack("<qi4xq", footer[at + 4 : at + 4 + 24 * count])
    except (struct.error, IndexError) as error:
        raise BadData("The Arrow file is truncated or corrupt") from error


def _field(head: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0: it is not there."""
    (back,) = struct.unpack_from("<i", head, table)
    (size,) = struct.unpack_from("<H", head, table - back)
    at = 4 + 2 * number
    if at + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", head, table - back + at)
    return table + int(offset) if offset else 0


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
