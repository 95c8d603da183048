"""Ingest into a folder of this machine: the Parquet files it writes, and what is read back from them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from gristmill.domain.dataset import Ingested
from gristmill.domain.job import Progress
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.ingest.options import Limits


class Folder:
    """An Output whose files are in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        assert form is OutputFormat.PARQUET
        self.names.append(name)
        frame.sink_parquet(self.path / name)
        if copy is not None:
            shutil.copyfile(self.path / name, copy)
        return int(pl.scan_parquet(self.path / name).select(pl.len()).collect().item())

    def document(self, name: str, content: bytes, media_type: str) -> None:
        (self.path / name).write_bytes(content)


@dataclass(frozen=True)
class Loaded:
    """What came out of one ingest."""

    ingested: Ingested
    frame: pl.DataFrame
    rejected: pl.DataFrame
    names: list[str]
    progress: list[Progress]
    left_in_scratch: list[str]

    @property
    def dialect(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.ingested.dialect)
        return found

    @property
    def profile(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.ingested.profile)
        return found


class Load(Protocol):
    def __call__(
        self, data: bytes, declared: str = "csv", *, limits: Limits | None = None, **options: Any
    ) -> Loaded: ...


REJECTED = {"line": pl.Int64, "column": pl.Int64, "reason": pl.String, "raw": pl.String}


def read_back(ingested: Ingested, output: Folder, progress: list[Progress], scratch: Path) -> Loaded:
    parts = sorted(output.path.glob("part-*.parquet"))
    scan = pl.scan_parquet(parts)
    schema = scan.collect_schema()
    assert [(column.name, column.type) for column in ingested.columns] == [(n, str(k)) for n, k in schema.items()]
    rejected_path = output.path / "rejected.parquet"
    rejected = pl.read_parquet(rejected_path) if rejected_path.exists() else pl.DataFrame(schema=REJECTED)
    frame = scan.collect()
    assert ingested.rows_read == ingested.rows_loaded + ingested.rows_rejected
    assert ingested.rows_loaded == frame.height
    assert ingested.rows_rejected == rejected.height
    for stage in ("read", "type"):
        done = [step.done for step in progress if step.stage == stage]
        assert done == sorted(done)
    left = [file.name for file in scratch.iterdir() if not file.name.startswith("rejected")]
    return Loaded(ingested, frame, rejected, output.names, progress, left)
