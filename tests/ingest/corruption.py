"""Files broken by a seed: the same seed gives the same bytes.

    .venv/bin/python -m tests.ingest.corruption --seconds 600 --seed 5000000     # looks for seeds that do harm

A good file of some format is cut, flipped, or made to lie about lengths; a zip gets entries that lie about their size.
Each is ingested in a process of its own kind, so that a crash is seen and told by its seed.
"""

import argparse
import gzip
import io
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import openpyxl
import polars as pl
import zstandard

from gristmill.domain.dataset import DataFormat
from gristmill.errors import InputError
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from tests.ingest.folder import Folder

ROWS = 400
LIES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 2**64 - 1)
SLOW_S, LIMIT_S = 10.0, 60.0


def _frame() -> pl.DataFrame:
    places = range(ROWS)
    return pl.DataFrame(
        {
            "id": places,
            "x": [place / 7 if place % 5 else None for place in places],
            "word": [f"w{place % 17}" for place in places],
            "at": [datetime(2026, 1, 1 + place % 28, tzinfo=UTC) for place in places],
            "list": [[place, place + 1] if place % 3 else None for place in places],
            "struct": [{"a": place, "b": str(place)} for place in places],
            "flag": [place % 2 == 0 for place in places],
            "cat": pl.Series([f"c{place % 3}" for place in places], dtype=pl.Categorical),
        }
    )


def _parquet(compression: Literal["zstd", "snappy", "uncompressed", "gzip"]) -> bytes:
    target = io.BytesIO()
    _frame().write_parquet(target, compression=compression, row_group_size=150, statistics=True)
    return target.getvalue()


def _arrow(compression: Literal["zstd", "lz4", "uncompressed"], *, stream: bool) -> bytes:
    target = io.BytesIO()
    write = _frame().write_ipc_stream if stream else _frame().write_ipc
    write(target, compression=compression)
    return target.getvalue()


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in _frame().select("id", "x", "word").head(100).iter_rows():
        sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _text() -> bytes:
    return _frame().select("id", "x", "word", "at").write_csv().encode()


def _lines() -> bytes:
    return _frame().select("id", "x", "word", "struct").write_ndjson().encode()


SOURCES: dict[str, tuple[DataFormat, Callable[[], bytes]]] = {
    "parquet zstd": (DataFormat.PARQUET, lambda: _parquet("zstd")),
    "parquet snappy": (DataFormat.PARQUET, lambda: _parquet("snappy")),
    "parquet plain": (DataFormat.PARQUET, lambda: _parquet("uncompressed")),
    "parquet gzip": (DataFormat.PARQUET, lambda: _parquet("gzip")),
    "arrow file": (DataFormat.ARROW, lambda: _arrow("uncompressed", stream=False)),
    "arrow file zstd": (DataFormat.ARROW, lambda: _arrow("zstd", stream=False)),
    "arrow file lz4": (DataFormat.ARROW, lambda: _arrow("lz4", stream=False)),
    "arrow stream": (DataFormat.ARROW, lambda: _arrow("uncompressed", stream=True)),
    "arrow stream zstd": (DataFormat.ARROW, lambda: _arrow("zstd", stream=True)),
    "workbook": (DataFormat.XLSX, _workbook),
    "csv gzip": (DataFormat.CSV, lambda: gzip.compress(_text(), mtime=0)),
    "csv zstd": (DataFormat.CSV, lambda: zstandard.ZstdCompressor().compress(_text())),
    "ndjson gzip": (DataFormat.NDJSON, lambda: gzip.compress(_lines(), mtime=0)),
    "csv": (DataFormat.CSV, _text),
}


class Broken:
    """Good files, made once, and what seeds make of them."""

    def __init__(self) -> None:
        self._good = {name: make() for name, (_, make) in SOURCES.items()}

    def file(self, seed: int) -> tuple[str, DataFormat, bytes]:
        """What it was, its declared format, and the bytes."""
        rng = random.Random(seed)
        name = rng.choice(sorted(SOURCES))
        data = bytearray(self._good[name])
        for _ in range(rng.choice((1, 1, 2, 4))):
            rng.choice(CHANGES)(rng, data)
        return name, SOURCES[name][0], bytes(data)


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 4, 32))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at : at + 8] = rng.randbytes(min(8, len(data) - at))


def _lie(rng: random.Random, data: bytearray) -> None:
    """A number that says a length, where it may stand."""
    size = rng.choice((1, 2, 4, 8))
    at = min(_place(rng, data), len(data) - size)
    lie = rng.choice(LIES) & ((1 << (8 * size)) - 1)
    data[at : at + size] = lie.to_bytes(size, rng.choice(("little", "little", "big")))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[max(16, rng.randrange(len(data))) :]


def _lose(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    if len(data) > 64:
        del data[at : min(at + rng.choice((1, 8, 64)), len(data) - 32)]


def _repeat(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((1, 8, 512))]


def _zero(rng: random.Random, data: bytearray) -> None:
    at, size = _place(rng, data), rng.choice((4, 32, 256))
    data[at : at + size] = bytes(len(data[at : at + size]))


def _swap(rng: random.Random, data: bytearray) -> None:
    size = 64
    one, other = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def _tail(rng: random.Random, data: bytearray) -> None:
    """The length of a footer, as Parquet and Arrow have it at their end."""
    if len(data) > 32:
        back = rng.choice((8, 10))
        data[len(data) - back : len(data) - back + 4] = struct.pack("<I", rng.choice(LIES) & 0xFFFFFFFF)


CHANGES = (_flip, _flip, _overwrite, _lie, _lie, _lie, _cut, _lose, _repeat, _zero, _swap, _tail)


def _place(rng: random.Random, data: bytearray) -> int:
    """Anywhere; more often where heads and footers are."""
    near = min(512, len(data))
    match rng.randrange(4):
        case 0:
            return rng.randrange(near)
        case 1 | 2:
            return len(data) - 1 - rng.randrange(min(3000, len(data)))
        case _:
            return rng.randrange(len(data))


def tried(broken: Broken, seed: int, folder: Path) -> str:
    """What became of a broken file: `loaded`, or the name of our error. Anything else comes out as it is."""
    _, declared, data = broken.file(seed)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch, output = Path(name) / "scratch", Path(name) / "output"
        scratch.mkdir()
        output.mkdir()
        try:
            ingest(
                lambda: io.BytesIO(data),
                declared=declared,
                size_bytes=len(data),
                options=IngestOptions(),
                limits=Limits(),
                scratch=scratch,
                output=Folder(output),
                progress=lambda _: None,
            )
        except InputError as error:
            return error.code
    return "loaded"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _child(first: int) -> None:
    """Try seed after seed for ever; each is named before it is tried, and what became of it after."""
    broken = Broken()
    with tempfile.TemporaryDirectory() as name:
        seed = first
        while True:
            _say(str(seed))
            signal.alarm(int(LIMIT_S))  # a hang ends the process, by SIGALRM
            try:
                _say(tried(broken, seed, Path(name)))
            except BaseException as error:  # noqa: BLE001 (what is looked for)
                _say(f"ESCAPED {type(error).__name__}: {error}"[:300].replace("\n", " "))
            seed += 1


def _campaign(first: int, seconds: float) -> None:
    """Tell every seed with which something else came out than a result or a problem."""
    deadline, seed = time.monotonic() + seconds, first
    counts: dict[str, int] = {}
    while time.monotonic() < deadline:
        command = [sys.executable, "-m", "tests.ingest.corruption", "--child", str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            began, done = time.monotonic(), seed
            assert child.stdout is not None
            while time.monotonic() < deadline and (line := child.stdout.readline().strip()):
                if line.isdigit():
                    done, began = int(line), time.monotonic()
                    continue
                counts[line.split(":")[0]] = counts.get(line.split(":")[0], 0) + 1
                if line.startswith("ESCAPED") or time.monotonic() - began > SLOW_S:
                    _say(f"seed {done}: {line}, {time.monotonic() - began:.1f} s")
            if time.monotonic() < deadline:
                _say(f"seed {done}: the process ended with {child.wait()}")
                counts["crashed"] = counts.get("crashed", 0) + 1
            child.kill()
        seed = done + 1
    _say(f"seeds {first} to {seed - 1}: {counts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1_000_000, help="the first seed")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--child", type=int)
    options = parser.parse_args()
    if options.child is None:
        _campaign(options.seed, options.seconds)
    else:
        _child(options.child)
