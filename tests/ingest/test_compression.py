"""Compressed bytes expand to what was compressed, within limits that have names; bombs and cuts are told."""

import gzip
import io
import random

import pytest
import zstandard

from gristmill.errors import BadData, TooLarge
from gristmill.ingest.compression import Original, expand, peek
from gristmill.ingest.options import MIB, Limits

NOISE = random.Random(1).randbytes(3 * MIB)


def expanded(data: bytes, limits: Limits | None = None) -> tuple[str, bytes]:
    name, pieces = expand(Original(io.BytesIO(data), lambda _: None), limits or Limits())
    return name, b"".join(pieces)


@pytest.mark.parametrize("content", [b"", b"a", NOISE, b"x" * 5 * MIB, NOISE + b"\0" * MIB])
def test_round_trip(content: bytes) -> None:
    assert expanded(gzip.compress(content)) == ("gzip", content)
    assert expanded(zstandard.compress(content)) == ("zstd", content)
    assert expanded(b"-" + content) == ("none", b"-" + content)


def test_many_members_and_frames() -> None:
    assert expanded(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b") + b"\0" * 512) == ("gzip", b"ab")
    assert expanded(zstandard.compress(b"a") + zstandard.compress(NOISE)) == ("zstd", b"a" + NOISE)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("cut", [1, 4, 8, 1000])
def test_every_cut_is_told(compress: object, cut: int) -> None:
    data = (
        gzip.compress(NOISE)
        if compress is gzip.compress
        else zstandard.ZstdCompressor(write_checksum=True).compress(NOISE)
    )
    with pytest.raises(BadData, match="truncated"):
        expanded(data[:-cut])


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
def test_noise_behind_a_magic_is_corrupt(magic: bytes) -> None:
    with pytest.raises(BadData, match="corrupt"):
        expanded(magic + NOISE)


def bomb(kind: str) -> bytes:
    zeros = b"0,0\n" * (64 * MIB)
    return gzip.compress(zeros, 9) if kind == "gzip" else zstandard.ZstdCompressor(level=3).compress(zeros)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_stopped_early(kind: str) -> None:
    """256 MiB of the same row; reading stops soon after 64 MiB, in pieces of bounded size."""
    _, pieces = expand(Original(io.BytesIO(bomb(kind)), lambda _: None), Limits())
    sizes: list[int] = []
    with pytest.raises(TooLarge, match="max_expansion_ratio"):
        sizes.extend(map(len, pieces))
    assert sum(sizes) <= 97 * MIB
    assert max(sizes) <= 33 * MIB


def test_expanded_size_is_limited() -> None:
    with pytest.raises(TooLarge, match="max_expanded_bytes"):
        expanded(gzip.compress(NOISE), Limits(max_expanded_bytes=2 * MIB))


def test_peek_keeps_every_byte() -> None:
    head, pieces = peek(iter([b"ab", b"cd", b"ef"]), 3)
    assert (head, b"".join(pieces)) == (b"abcd", b"abcdef")
    head, pieces = peek(iter([]), 3)
    assert (head, list(pieces)) == (b"", [])
