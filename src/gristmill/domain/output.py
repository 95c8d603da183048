"""Where a processor or ingest puts what it makes, without knowing what is behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import polars as pl

from gristmill.domain.job import Progress


class Output(Protocol):
    """The files of one attempt, written in order. Blocking: called from the thread that computes."""

    def table(self, name: str, frame: pl.LazyFrame, *, copy: Path | None = None) -> int:
        """Stream a frame into a Parquet file called `name`; answers its rows. `copy`: keep the file there as well."""
        ...

    def document(self, name: str, content: bytes, media_type: str) -> None:
        """Write one small file called `name`."""
        ...


OnProgress = Callable[[Progress], None]
