"""The figures of a table, found from its parts as they are written, and kept with them for the jobs to come."""

from collections.abc import Mapping
from functools import partial as bind
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.manifest import KEPT_NAME, MSGPACK, part_name
from gristmill.domain.output import UNKNOWN, Extent, OnProgress, Output
from gristmill.processors.contract import finite
from gristmill.processors.metrics import Metrics, MetricsParams
from gristmill.processors.run import Part, fit, within

STAGE = "profile"
FULL_COLUMNS = 100
"""Columns up to which a profile has histograms, quantiles and most common values: about 1.5 kB each."""
LONG = ("histogram", "quantiles", "top_values", "accuracy")
TEXT_CHARACTERS = 80
KEPT_BYTES = 16 * 1024 * 1024


class Profile(msgspec.Struct, frozen=True):
    """How many rows a table has, the nulls of each column, and what people are told, as JSON."""

    rows: int
    nulls: tuple[int, ...]
    document: msgspec.Raw


class Parts:
    """Writes the parts of a table to `output`, and has a copy of each in `scratch` until the profile is made.

    The figures are those of the kind `metrics` with default params, found by its own code from the same parts: such a
    job then has nothing to read.
    """

    def __init__(self, schema: Mapping[str, pl.DataType], scratch: Path, output: Output, memory: int) -> None:
        self.rows = 0
        self.columns = tuple(Column(name, str(kind)) for name, kind in schema.items())
        self._scratch = scratch
        self._output = output
        self._memory = memory
        self._copies: list[tuple[Path, int]] = []

    def write(self, frame: pl.LazyFrame, extent: Extent = UNKNOWN) -> int:
        """Write the next part; answers its rows."""
        name = part_name(len(self._copies))
        path = self._scratch / name
        rows = self._output.table(name, frame, copy=path, extent=extent)
        self._copies.append((path, rows))
        self.rows += rows
        return rows

    def profile(self, progress: OnProgress) -> Profile:
        """The figures of what was written; kept as an object beside the parts. Removes the copies."""
        metrics = Metrics()
        parts = [Part(bind(pl.scan_parquet, path, glob=False), rows) for path, rows in self._copies]
        wanted = within(metrics, metrics.plan(self.columns, MetricsParams()), self._memory)
        plan, fitted = fit(metrics, wanted, parts, progress, stage=STAGE)
        kept = metrics.keep(plan, fitted)
        if len(kept) <= KEPT_BYTES:
            self._output.document(KEPT_NAME, kept, MSGPACK)
        for path, _ in self._copies:
            path.unlink()
        nulls = tuple(seen.nulls for seen in fitted.columns)
        return Profile(self.rows, nulls, _document(metrics.report(plan, fitted)))


def _document(report: dict[str, Any]) -> msgspec.Raw:
    """`{"rows": …, "columns": […], "dataset": …, "warnings": […]}`, as `metrics` reports them; no NaN, no Infinity.

    Of more than `FULL_COLUMNS` columns only single figures are told; long texts are cut.
    """
    columns = [_entry(entry, full=len(report["columns"]) <= FULL_COLUMNS) for entry in report["columns"]]
    told = {name: report[name] for name in ("rows", "dataset", "warnings")} | {"columns": columns}
    return msgspec.Raw(msgspec.json.encode(finite(told)))


def _entry(entry: dict[str, Any], *, full: bool) -> dict[str, Any]:
    if not full:
        return {name: value for name, value in entry.items() if name not in LONG}
    if not entry.get("top_values"):
        return entry
    shown = [found | {"value": _shown(found["value"])} for found in entry["top_values"]]
    return entry | {"top_values": shown}


def _shown(value: object) -> object:
    long = isinstance(value, str) and len(value) > TEXT_CHARACTERS
    return f"{value[:TEXT_CHARACTERS]}…" if isinstance(value, str) and long else value
