"""Runs a processor over a frame cut into parts, and writes what it makes into a folder."""

import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.job import Progress
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.processors import AnyProcessor, discover, run
from gristmill.processors.contract import decode_params

KINDS = discover()


class Folder:
    """An `Output` that is a folder."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.progress: list[Progress] = []

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        made = frame.collect(engine="streaming")
        match form:
            case OutputFormat.PARQUET:
                made.write_parquet(self.path / name)
            case OutputFormat.CSV:
                made.write_csv(self.path / name)
            case OutputFormat.NDJSON:
                made.write_ndjson(self.path / name)
            case OutputFormat.ARROW:
                made.write_ipc(self.path / name)
        if copy is not None:
            shutil.copyfile(self.path / name, copy)
        return made.height

    def document(self, name: str, content: bytes, media_type: str) -> None:
        assert media_type == "application/json"
        (self.path / name).write_bytes(content)

    @property
    def rows(self) -> pl.DataFrame:
        """All tables, in the order of their names."""
        return pl.concat([pl.read_parquet(path) for path in sorted(self.path.glob("*.parquet"))])

    @property
    def report(self) -> dict[str, Any]:
        return dict(msgspec.json.decode((self.path / "report.json").read_bytes()))

    @property
    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.path.iterdir())}


def columns_of(frame: pl.DataFrame) -> tuple[Column, ...]:
    return tuple(Column(name, str(dtype)) for name, dtype in frame.schema.items())


def cut(frame: pl.DataFrame, parts: int) -> list[run.Part]:
    """The frame in so many parts of nearly equal height; some may be empty."""
    edges = [frame.height * place // parts for place in range(parts + 1)]
    slices = [frame[low:high] for low, high in pairwise(edges)]
    return [run.Part(piece.lazy, piece.height) for piece in slices]


def process(
    kind: str | AnyProcessor, frame: pl.DataFrame, params: Mapping[str, object], path: Path, *, parts: int = 1
) -> tuple[run.Finished, Folder]:
    processor = KINDS[kind] if isinstance(kind, str) else kind
    folder = Folder(path)
    finished = run.run(
        processor,
        params=decode_params(processor, msgspec.json.encode(params)),
        columns=columns_of(frame),
        parts=cut(frame, parts),
        output=folder,
        progress=folder.progress.append,
    )
    return finished, folder


def by_name(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A report's columns by their names."""
    return {column["name"]: column for column in report["columns"]}
