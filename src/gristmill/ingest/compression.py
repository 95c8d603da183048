"""Plain, gzip and zstd bytes, told by their first bytes and expanded within limits."""

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO

import zstandard

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.options import MIB, Limits

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
READ_BYTES = MIB
RATIO_FLOOR = 64 * MIB
# zstd can't be told how much to give: one kilobyte of it holds at most 32 MB (128 KiB for each 4-byte block).
ZSTD_FEED = 1024
ZSTD_WINDOW = 128 * MIB


class Original:
    """The bytes as they came, in pieces; `taken` counts them."""

    def __init__(self, stream: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self.taken = 0
        self._stream = stream
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._stream.read(READ_BYTES):
            self.taken += len(piece)
            self._on_bytes(self.taken)
            yield piece


def expand(original: Original, limits: Limits) -> tuple[str, Iterator[bytes]]:
    """The name of the compression (`none`, `gzip`, `zstd`) and the expanded bytes, in pieces of bounded size.

    While iterating raises BadData (truncated or corrupt) and TooLarge (over `max_expanded_bytes` or
    `max_expansion_ratio`).
    """
    head, pieces = peek(iter(original), len(ZSTD))
    if head.startswith(GZIP):
        return "gzip", _bounded(_gunzip(pieces), original, limits)
    if head.startswith(ZSTD):
        return "zstd", _bounded(_unzstd(pieces), original, limits)
    return "none", pieces


def peek(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least `size` bytes from the beginning (fewer only at the end), and all the pieces, those included."""
    taken: list[bytes] = []
    have = 0
    for piece in pieces:
        taken.append(piece)
        have += len(piece)
        if have >= size:
            break
    head = b"".join(taken)
    return head, chain([head] if head else [], pieces)


def _bounded(pieces: Iterator[bytes], original: Original, limits: Limits) -> Iterator[bytes]:
    expanded = 0
    for piece in pieces:
        expanded += len(piece)
        if expanded > limits.max_expanded_bytes:
            raise TooLarge(f"max_expanded_bytes: the data expands to more than {limits.max_expanded_bytes} bytes")
        if expanded > max(RATIO_FLOOR, limits.max_expansion_ratio * original.taken):
            raise TooLarge(f"max_expansion_ratio: the data expands more than {limits.max_expansion_ratio} times")
        yield piece


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    member: zlib._Decompress | None = None
    try:
        for piece in pieces:
            data = piece
            while data:
                if member is None:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(data, READ_BYTES)
                data = member.unconsumed_tail
                if member.eof:
                    data, member = member.unused_data, None
        while member is not None and (rest := member.decompress(b"", READ_BYTES)):
            yield rest
    except zlib.error as error:
        raise BadData("The gzip data is corrupt") from error
    if member is not None and not member.eof:
        raise BadData("The gzip data is truncated")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    frame: zstandard.ZstdDecompressionObj | None = None
    try:
        for piece in pieces:
            for start in range(0, len(piece), ZSTD_FEED):
                data = piece[start : start + ZSTD_FEED]
                while data:
                    frame = frame or context.decompressobj()
                    yield frame.decompress(data)
                    data = frame.unused_data if frame.eof else b""
                    if frame.eof:
                        frame = None
    except zstandard.ZstdError as error:
        raise BadData("The zstd data is corrupt, or its window is over 128 MiB") from error
    if frame is not None:
        raise BadData("The zstd data is truncated")
