"""The answers a server would give about the demo's data: made by the processors themselves."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gristmill.client import DatasetInfo
from gristmill.demo.tour import JOBS, SPEED, birdstrikes
from gristmill.domain.column import Column
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.processors.anomalies import Anomalies
from gristmill.processors.contract import Processor, decode_params
from gristmill.processors.metrics import Metrics
from gristmill.processors.normalize import Normalize
from gristmill.processors.run import Part, run
from gristmill.shown.chart import Chart, chart


@dataclass
class Kept:
    """An output that keeps its tables in memory."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

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
        self.tables[name] = frame.collect()
        return self.tables[name].height

    def document(self, name: str, content: bytes, media_type: str) -> None:
        pass


@dataclass(frozen=True)
class Answers:
    dataset: DatasetInfo
    reports: Mapping[str, dict[str, Any]]
    flagged: pl.DataFrame
    chart: Chart


@pytest.fixture(scope="session")
def strikes() -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(birdstrikes()), infer_schema_length=None, try_parse_dates=True)


@pytest.fixture(scope="session")
def answers(strikes: pl.DataFrame) -> Answers:
    processors: tuple[Processor[Any, Any, Any, Any], ...] = (Metrics(), Anomalies(), Normalize())
    columns = [Column(name, str(kind)) for name, kind in strikes.schema.items()]
    output, reports = Kept(), {}
    for processor in processors:
        finished = run(
            processor,
            params=decode_params(processor, json.dumps(JOBS[processor.kind]).encode()),
            columns=columns,
            parts=[Part(strikes.lazy, strikes.height)],
            output=output,
            progress=lambda progress: None,
        )
        reports[processor.kind] = finished.report
    dataset = DatasetInfo(
        id="018f0000-0000-7000-8000-000000000000",
        name="birdstrikes.csv",
        status="ready",
        format="csv",
        size_bytes=len(birdstrikes()),
        sha256="",
        rows_read=strikes.height,
        rows_loaded=strikes.height,
        rows_rejected=0,
    )
    flagged = output.tables["anomalies.parquet"]
    drawn = chart(SPEED, metrics=reports["metrics"], anomalies=reports["anomalies"], flagged=flagged)
    return Answers(dataset, reports, flagged, drawn)
