"""Text (or JSON) columns kept in files of the scratch folder between the first pass and the second, cut into parts."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import polars as pl

from gristmill.ingest.options import MIB, Limits

# As Polars estimates it; views of short texts make a frame about twice as large.
PIECE_BYTES = 8 * MIB
PLAIN_BYTES = 2048 * MIB
"""Up to so much on disk, files are not compressed: of 1 M rows of 75 bytes, lz4 took 0.4 of 3 s of CPU."""


@dataclass(slots=True)
class Piece:
    """One file: rows of one part, in order."""

    path: Path
    rows: int
    schema: pl.Schema


@dataclass(slots=True)
class Part:
    """The files of one part, and how many rows and, by column, bytes of memory they hold."""

    pieces: list[Piece] = field(default_factory=list)
    rows: int = 0
    sizes: Counter[str] = field(default_factory=Counter)


class Spill:
    """Takes frames in order and cuts them into parts of at most `part_rows` rows and about `part_bytes` bytes.

    Each row passes `observe` once, in frames of some megabytes. That and the writing are done in a thread of its own,
    one step behind the reading. Use it as a context manager; its figures are right after `flush`.
    """

    def __init__(self, scratch: Path, limits: Limits, observe: Callable[[pl.DataFrame], None] | None) -> None:
        self.rows = 0
        self._observe = observe
        self.parts: list[Part] = []
        self._scratch = scratch
        self._limits = limits
        self._files = 0
        self._on_disk = 0
        self._waiting: list[pl.DataFrame] = []
        self._waiting_bytes = 0
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spill")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown(cancel_futures=True)

    def add(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self.rows += frame.height
        self._waiting.append(frame)
        self._waiting_bytes += int(frame.estimated_size())
        if self._waiting_bytes >= PIECE_BYTES:
            self._hand_over()

    def flush(self) -> None:
        """Write what waits, and wait until it is written."""
        self._hand_over()
        self._settle()

    def _hand_over(self) -> None:
        self._settle()
        self._pending = self._writer.submit(self._write, self._waiting)
        self._waiting, self._waiting_bytes = [], 0

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, frames: list[pl.DataFrame]) -> None:
        """Frames may differ in columns: each run of equal ones becomes a file."""
        run: list[pl.DataFrame] = []
        for frame in frames:
            if run and run[0].schema != frame.schema:
                self._cut(pl.concat(run))
                run = []
            run.append(frame)
        if run:
            self._cut(pl.concat(run))

    def _cut(self, frame: pl.DataFrame) -> None:
        if self._observe is not None:
            self._observe(frame)
        while frame.height:
            if not self.parts or self._full(self.parts[-1]):
                self.parts.append(Part())
            part = self.parts[-1]
            most = self._limits.rows_of_part(frame.width)
            if part.rows >= most:  # of a JSON text, columns come as they are met
                part = Part()
                self.parts.append(part)
            taken = frame.head(most - part.rows)
            frame = frame.slice(taken.height)
            path = self._scratch / f"spill-{self._files:06d}.arrow"
            self._files += 1
            taken.write_ipc(path, compression="uncompressed" if self._on_disk < PLAIN_BYTES else "lz4")
            self._on_disk += path.stat().st_size
            part.pieces.append(Piece(path, taken.height, taken.schema))
            part.rows += taken.height
            part.sizes.update({column.name: int(column.estimated_size()) for column in taken.get_columns()})

    def _full(self, part: Part) -> bool:
        return part.rows >= self._limits.part_rows or part.sizes.total() >= self._limits.part_bytes

    @staticmethod
    def drop(part: Part) -> None:
        """Remove the files of a part that is written."""
        for piece in part.pieces:
            piece.path.unlink(missing_ok=True)
