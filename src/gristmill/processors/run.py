"""The driver: plan, fit over the parts in as many passes as asked for, apply, report. Pure but for `Output`."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.job import Progress
from gristmill.domain.manifest import JSON, part_name
from gristmill.domain.output import Extent, OnProgress, Output, OutputFormat
from gristmill.errors import BadData, InternalError, MemoryLimit
from gristmill.processors import forms, naming
from gristmill.processors.columns import MIB, RESTING, width_of
from gristmill.processors.contract import ROW, Again, Fit, Planned, Processor, finite
from gristmill.processors.forms import RowsParams
from gristmill.processors.naming import OtherDataset
from gristmill.steps import step

REPORT = "report.json"
MOST_PASSES = 1000
MEMORY = 512 * MIB


class Part(msgspec.Struct, frozen=True):
    """Some of a dataset's rows, in order: what makes a frame, not read yet, how many rows it has, and what their texts
    take in memory (0: not known).

    A frame that was read keeps the footer of its file (20 MiB of 32,000 column chunks), so each look makes its own.
    """

    scan: Callable[[], pl.LazyFrame]
    rows: int
    text_bytes: int = 0

    @property
    def extent(self) -> Extent:
        return Extent(self.rows, self.text_bytes)


class Other(msgspec.Struct, frozen=True):
    """A dataset that a param names."""

    columns: tuple[Column, ...]
    parts: tuple[Part, ...]


class Finished(msgspec.Struct, frozen=True):
    """`rows_in == rows_out + rows_dropped`. A kind without a table takes all rows into its figures: none is dropped."""

    report: dict[str, object]
    rows_in: int
    rows_out: int
    rows_dropped: int
    columns: tuple[Column, ...] = ()


def run(
    processor: Processor[Any, Any, Any, Any],
    *,
    params: msgspec.Struct,
    columns: Sequence[Column],
    parts: Sequence[Part],
    output: Output,
    progress: OnProgress,
    kept: bytes | None = None,
    others: Mapping[str, Other] = MappingProxyType({}),
    memory: int = MEMORY,
) -> Finished:
    """Run one job. Writes the tables, the documents and `report.json`, in this order.

    `kept` is what ingest kept of the dataset: the parts are not read where it says enough.
    `params` have the documents that they name in place; `others` are the datasets that they name, by param. `memory`
    is what this process may take, in bytes: wide tables are looked at group of columns by group of columns for it.

    Raises MemoryLimit for a plan that needs more, InvalidRequest for params that do not fit the columns, BadData for a
    dataset without parts, and
    InternalError where the rows do not balance.
    """
    if not parts:
        raise BadData("The dataset has no parts.")
    with step("plan"):
        plan = planned(processor, columns, params, {name: other.columns for name, other in others.items()})
        plan = within(processor, plan, memory)
    with step("fit"):
        plan = processor.informed(plan, _survey(params, others, progress, memory))
        plan, fitted = fit(processor, plan, parts, progress, kept=kept)
    rows = sum(part.rows for part in parts)
    rows_out, table = _apply(
        processor, plan, fitted, parts, params=params, output=output, counter=_Counter("apply", progress)
    )
    report = processor.report(plan, fitted)
    dropped = rows - rows_out
    if dropped < 0 or report.get("rows_out", rows_out) != rows_out:
        raise InternalError(f"{processor.kind}: {rows} rows in, {rows_out} out; the report says {report['rows_out']}.")
    for name, content in sorted(processor.documents(plan, fitted).items()):
        output.document(name, content, JSON)
    body = finite({"kind": processor.kind, "version": processor.version, **report})
    output.document(REPORT, msgspec.json.format(msgspec.json.encode(body), indent=2), JSON)
    return Finished(dict(msgspec.convert(body, dict[str, object])), rows, rows_out, dropped, table)


def planned(
    processor: Processor[Any, Any, Any, Any],
    columns: Sequence[Column],
    params: msgspec.Struct,
    others: Mapping[str, Sequence[Column]],
) -> Any:
    """The plan of a job, with all that can be checked before its data is read. Raises InvalidRequest.

    `others` are the columns of the datasets that the params name, by param.
    """
    plan = processor.plan(columns, params)
    forms.check(params, columns)
    for name, survey in _surveys(params):
        if name not in others:
            raise naming.not_looked_up(name)
        survey.plan(others[name], params)
    return plan


def _surveys(params: msgspec.Struct) -> Iterator[tuple[str, Fit[Any, Any, Any, Any]]]:
    for name, (_, named) in naming.given(params).items():
        if isinstance(named, OtherDataset):
            yield name, named.survey


def within(look: Fit[Any, Any, Any, Any], plan: Planned, memory: int) -> Any:
    """The plan for a process that may take so many bytes. Raises MemoryLimit where no number of columns is few enough.

    The figures do not depend on it.
    """
    least = RESTING + look.least_memory(plan)
    if least > memory:
        raise MemoryLimit(
            f"So many columns need about {least // MIB} MiB with this method, and a job may take {memory // MIB}. What "
            "helps: fewer `columns`, a method that judges column by column, or a larger EXECUTOR_MEMORY_MB"
        )
    return msgspec.structs.replace(plan, width=width_of(memory))


def _survey(params: msgspec.Struct, others: Mapping[str, Other], progress: OnProgress, memory: int) -> dict[str, Any]:
    """What is found in the datasets that the params name."""
    found: dict[str, Any] = {}
    for name, survey in _surveys(params):
        plan = within(survey, survey.plan(others[name].columns, params), memory)
        _, found[name] = fit(survey, plan, others[name].parts, progress, stage="survey")
    return found


def fit(
    look: Fit[Any, Any, Any, Any],
    plan: Planned,
    parts: Sequence[Part],
    progress: OnProgress,
    *,
    kept: bytes | None = None,
    stage: str = "fit",
) -> tuple[Any, Any]:
    """The plan of the last pass and the fitted figures, in as many passes over the parts as it takes."""
    counter = _Counter(stage, progress)
    known = look.recall(plan, kept) if kept is not None and isinstance(look, Processor) else None
    outcome: Any = Again(plan) if known is None else known
    for _ in range(MOST_PASSES):
        if not isinstance(outcome, Again):
            return plan, outcome
        plan = outcome.plan
        counter.expect(plan.looks * sum(part.rows for part in parts))
        stack = _Merging(look)
        for frame in _numbered(parts, counter):
            stack.add(look.partial(frame, plan))
        outcome = look.finish(plan, stack.result())
    raise InternalError(f"{type(look).__name__}: not fitted after {MOST_PASSES} passes.")


def _apply(
    processor: Processor[Any, Any, Any, Any],
    plan: Planned,
    fitted: msgspec.Struct,
    parts: Sequence[Part],
    *,
    params: msgspec.Struct,
    output: Output,
    counter: "_Counter",
) -> tuple[int, tuple[Column, ...]]:
    """Write the tables in the format asked for. Answers how many rows they have together, and their columns."""
    rows = sum(part.rows for part in parts)
    held = processor.held(plan, fitted)
    if held is None:
        counter.expect(rows)
    form = params.output_format if isinstance(params, RowsParams) else OutputFormat.PARQUET
    columns: tuple[Column, ...] | None = None
    written = 0
    # Of a wide table, what is to be done with one part takes megabytes: where parts become files, one after the other.
    densest = max((part.extent for part in parts), key=lambda extent: extent.text_bytes / max(1, extent.rows))
    for name, table in _tables(processor, plan, fitted, _numbered(parts, counter), held):
        if columns is None:
            columns = tuple(Column(column, str(kind)) for column, kind in table.collect_schema().items())
        written += output.table(form.named(name), forms.shaped(table, params), form, extent=densest)
    return (rows, ()) if columns is None else (written, columns)


def _tables(
    processor: Processor[Any, Any, Any, Any],
    plan: Planned,
    fitted: msgspec.Struct,
    frames: Iterator[pl.LazyFrame],
    held: pl.LazyFrame | None,
) -> Iterator[tuple[str, pl.LazyFrame]]:
    """The files to be written, by name: one of all parts, one for each, or none."""
    made = (table for frame in frames if (table := processor.apply(frame, plan, fitted)) is not None)
    if held is not None and processor.table is not None:
        yield processor.table, held
    elif processor.table is None:
        yield from ((part_name(ordinal), table) for ordinal, table in enumerate(made))
    elif tables := list(made):
        yield processor.table, pl.concat(tables, how="vertical")


def _numbered(parts: Sequence[Part], counter: "_Counter") -> Iterator[pl.LazyFrame]:
    """Each part with `ROW`, its rows counted as they pass."""
    offset = 0
    for part in parts:
        numbered = part.scan().with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.UInt64) + pl.lit(offset, pl.UInt64))
        yield numbered.map_batches(counter.count, streamable=True, projection_pushdown=True)
        offset += part.rows


class _Counter:
    """Counts the rows that pass, on Polars' threads, and says how far the stage is. Never goes back."""

    def __init__(self, stage: str, progress: OnProgress) -> None:
        self._stage = stage
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0

    def expect(self, rows: int) -> None:
        """One more pass over so many rows; passes before it count as done."""
        with self._lock:
            self._done = self._total
            self._total += rows
            self._progress(Progress(self._stage, self._done, self._total))

    def count(self, frame: pl.DataFrame) -> pl.DataFrame:
        with self._lock:
            self._done = min(self._done + frame.height, self._total)
            self._progress(Progress(self._stage, self._done, self._total))
        return frame


class _Merging:
    """Merges states two by two like the digits of a binary counter: few are held, and no state is merged often."""

    def __init__(self, look: Fit[Any, Any, Any, Any]) -> None:
        self._merge = look.merge
        self._held: list[tuple[int, Any]] = []

    def add(self, state: msgspec.Struct) -> None:
        size, joined = 1, state
        while self._held and self._held[-1][0] == size:
            earlier, left = self._held.pop()
            joined = self._merge([left, joined])
            size += earlier
        self._held.append((size, joined))

    def result(self) -> Any:
        while len(self._held) > 1:
            size, right = self._held.pop()
            earlier, left = self._held.pop()
            self._held.append((earlier + size, self._merge([left, right])))
        return self._held[0][1]
