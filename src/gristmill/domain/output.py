"""Where a processor or ingest puts what it makes, without knowing what is behind it."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePath
from typing import NamedTuple, Protocol

import polars as pl

from gristmill.domain.job import Progress
from gristmill.domain.manifest import ARROW, CSV, NDJSON, PARQUET


class OutputFormat(StrEnum):
    """What tables are written as. The value is what their names end with."""

    PARQUET = "parquet"
    CSV = "csv"
    NDJSON = "ndjson"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        return {
            OutputFormat.PARQUET: PARQUET,
            OutputFormat.CSV: CSV,
            OutputFormat.NDJSON: NDJSON,
            OutputFormat.ARROW: ARROW,
        }[self]

    def named(self, name: str) -> str:
        """The name of a table, ending as this format does."""
        return str(PurePath(name).with_suffix(f".{self.value}"))


class Extent(NamedTuple):
    """About what a table has before it is written: its rows, and the bytes that their texts take in memory."""

    rows: int
    text_bytes: int


UNKNOWN = Extent(0, 0)


class Output(Protocol):
    """The files of one attempt, written in order. Blocking: called from the thread that computes."""

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        """Stream a frame into a file called `name`; answers its rows. `copy`: keep the file there as well. Of long
        texts, by `extent`, fewer rows are held at a time, by who writes the file and by who reads it.
        """
        ...

    def document(self, name: str, content: bytes, media_type: str) -> None:
        """Write one small file called `name`."""
        ...


OnProgress = Callable[[Progress], None]
