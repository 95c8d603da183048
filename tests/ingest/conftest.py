"""Ingest of bytes into a folder of this machine."""

import io
import shutil
from collections.abc import Callable
from itertools import count
from typing import Any

import polars as pl
import pytest

from gristmill.domain.dataset import DataFormat
from gristmill.domain.job import Progress
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from tests.ingest.folder import Folder, Load, Loaded, read_back


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Run one ingest of some bytes, read back what it wrote, and check what must always hold."""
    folder = tmp_path_factory.mktemp("ingest")
    numbers = count()

    def run(data: bytes, declared: str = "csv", *, limits: Limits | None = None, **options: Any) -> Loaded:
        own = folder / str(next(numbers))
        (own / "scratch").mkdir(parents=True)
        (own / "output").mkdir()
        output = Folder(own / "output")
        progress: list[Progress] = []
        try:
            ingested = ingest(
                lambda: io.BytesIO(data),
                declared=DataFormat(declared),
                size_bytes=len(data),
                options=IngestOptions(**options),
                limits=limits or Limits(),
                scratch=own / "scratch",
                output=output,
                progress=progress.append,
            )
            return read_back(ingested, output, progress, own / "scratch")
        finally:
            shutil.rmtree(own)

    return run


@pytest.fixture(scope="session")
def generated() -> Callable[[int], bytes]:
    """A CSV text with a number of rows: id, a float, a word."""

    def text(rows: int) -> bytes:
        places = pl.int_range(rows, eager=True)
        frame = pl.DataFrame({"id": places, "x": places / 7, "word": "w" + (places % 97).cast(pl.String)})
        return frame.write_csv().encode()

    return text
