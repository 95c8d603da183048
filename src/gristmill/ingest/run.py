"""From the bytes of an upload to a dataset: what they are, how they are read, what they became."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, Ingested
from gristmill.domain.job import Progress
from gristmill.domain.output import OnProgress, Output
from gristmill.ingest.arrow import ArrowTable
from gristmill.ingest.column_types import AS_TEXT, ColumnTypes, Decision
from gristmill.ingest.compression import Original, expand, peek
from gristmill.ingest.content import check_declared, check_text
from gristmill.ingest.csv_dialect import Shape, find_shape
from gristmill.ingest.csv_table import CsvTable
from gristmill.ingest.encoding import find_encoding, to_utf8, unix_line_ends
from gristmill.ingest.finish import Target, write_parts
from gristmill.ingest.invisible import Invisible
from gristmill.ingest.json_array import NOT_CLOSED, JsonArray
from gristmill.ingest.names import numbered, settle_names
from gristmill.ingest.ndjson import NdjsonTable
from gristmill.ingest.options import MIB, IngestOptions, Limits
from gristmill.ingest.parquet import ParquetTable
from gristmill.ingest.profile import Profile
from gristmill.ingest.rejects import Rejects
from gristmill.ingest.spill import Spill
from gristmill.ingest.workbook import Workbook

SAMPLE_BYTES = MIB
MAX_WARNINGS = 100
NULL_RULE = (
    "an empty cell is null; a null token is null in number, date, datetime and truth columns, and text in text columns"
)


@dataclass(frozen=True, slots=True)
class _Task:
    """What every step of one ingest needs."""

    options: IngestOptions
    limits: Limits
    scratch: Path
    output: Output
    progress: OnProgress


@dataclass(slots=True)
class _FirstPass:
    """The rows of a text, spilled or rejected, and what was found out about them."""

    spill: Spill
    rejects: Rejects
    rows_read: int
    targets: list[Target]
    repaired: int = 0
    dialect: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def ingest(
    source: Callable[[], BinaryIO],
    *,
    declared: DataFormat,
    size_bytes: int,
    options: IngestOptions,
    limits: Limits,
    scratch: Path,
    output: Output,
    progress: OnProgress,
) -> Ingested:
    """Read the original once, forward, and write its parts (and `rejected.parquet`, if any row was) to `output`.

    Blocking. `source()` opens the original at its start; `scratch` is an existing private folder for what does not
    fit memory. Progress has the stages `read` (bytes of the original), for workbooks `sheet` (bytes of
    its text), `type` and `profile` (rows).

    Raises UnsupportedFormat, BadData or TooLarge for what is wrong with the data; its text is not quoted in them.
    """
    task = _Task(options, limits, scratch, output, progress)
    with closing(source()) as stream:
        original = Original(stream, lambda taken: progress(Progress("read", taken, size_bytes, "bytes")))
        compression, pieces = expand(original, limits)
        sample, pieces = peek(pieces, SAMPLE_BYTES)
        check_declared(declared, sample)
        dialect = {"format": declared.value, "compression": compression}
        table = _tables(task).get(declared)
        if table is not None:
            table.store(pieces)
        elif declared is DataFormat.XLSX:
            loaded = _read_workbook(pieces, task, dialect)
        else:
            loaded = _read_text(declared, sample, pieces, task, dialect)
    return _finish_text(loaded, task) if table is None else _finish_table(table, task, dialect)


def _tables(task: _Task) -> dict[DataFormat, ParquetTable]:
    """The formats that have their columns and types in them."""
    return {
        DataFormat.PARQUET: ParquetTable(task.scratch, task.limits),
        DataFormat.ARROW: ArrowTable(task.scratch, task.limits),
    }


def _read_workbook(pieces: Iterator[bytes], task: _Task, dialect: dict[str, Any]) -> _FirstPass:
    """The chosen sheet, read as the CSV text it is turned into."""
    book = Workbook(task.scratch, task.limits, task.options.sheet)
    book.store(pieces)
    text, rows = peek(_told(book.text(), task.progress), SAMPLE_BYTES)
    written = msgspec.structs.replace(task.options, delimiter=",", quote='"', escape="", comment="")
    loaded = _read_csv(text, rows, replace(task, options=written))
    found = {name: value for name, value in loaded.dialect.items() if name not in ("delimiter", "quote", "escape")}
    loaded.dialect = dialect | {"sheet": book.sheet} | found
    loaded.warnings[:0] = book.warnings
    return loaded


def _told(pieces: Iterator[bytes], progress: OnProgress) -> Iterator[bytes]:
    """The text of a sheet as it is made. The whole workbook was read before, and nothing else tells that it gets on."""
    done = 0
    for piece in pieces:
        done += len(piece)
        progress(Progress("sheet", done, None, "bytes"))
        yield piece


def _read_text(
    declared: DataFormat, sample: bytes, pieces: Iterator[bytes], task: _Task, dialect: dict[str, Any]
) -> _FirstPass:
    found = find_encoding(sample, task.options.encoding, unicode_only=declared is not DataFormat.CSV)
    text, pieces = peek(to_utf8(pieces, found.encoding, found.mark), SAMPLE_BYTES)
    line_ends = "CRLF" if b"\r\n" in text else "LF"
    if b"\n" not in text and b"\r" in text:
        line_ends = "CR"
        text, pieces = text.replace(b"\r", b"\n"), unix_line_ends(pieces)
    check_text(declared, text)
    invisible = Invisible()
    pieces = invisible.watch(pieces)
    if declared is DataFormat.CSV:
        loaded = _read_csv(text, pieces, task)
    elif declared is DataFormat.JSON:
        loaded = _read_array(pieces, task)
    else:
        loaded = _read_ndjson(pieces, task)
    loaded.dialect = dialect | found.told | {"line_ends": line_ends} | loaded.dialect
    loaded.warnings[:0] = found.warnings
    loaded.warnings.extend(invisible.warnings())
    return loaded


def _read_csv(text: bytes, pieces: Iterator[bytes], task: _Task) -> _FirstPass:
    options, limits = task.options, task.limits
    shape = find_shape(text, options, limits, whole=len(text) < SAMPLE_BYTES)
    names, warnings = settle_names(shape.header if shape.header is not None else numbered(shape.width))
    types = ColumnTypes(shape.width, options) if options.types == "auto" else None
    rejects = Rejects(task.scratch, options.max_rejected)
    with Spill(task.scratch, limits, types.observe if types is not None else None) as spill:
        table = CsvTable(shape, options, limits, spill, rejects)
        table.read(pieces, skip=shape.rows_start)
    decisions = types.decide() if types is not None else [AS_TEXT] * shape.width
    warnings = [
        *shape.warnings,
        *table.warnings,
        *warnings,
        *(found.warning for found in decisions if found.warning is not None),
    ]
    if not table.rows_read:
        warnings.append("The file has a header and no rows")
    return _FirstPass(
        spill=spill,
        rejects=rejects,
        rows_read=table.rows_read,
        targets=[_csv_target(place, *pair) for place, pair in enumerate(zip(names, decisions, strict=True))],
        repaired=table.repaired_short + table.repaired_long,
        dialect=_csv_dialect(shape, table, options) | {"read_as": _read_as(decisions)},
        warnings=warnings,
    )


def _csv_target(place: int, name: str, found: Decision) -> Target:
    return Target(place, name, lambda column, _: found.expression(column), pl.String(), found.nulls)


def _csv_dialect(shape: Shape, table: CsvTable, options: IngestOptions) -> dict[str, Any]:
    delimiter, quote = shape.dialect.delimiter, shape.dialect.quote
    return {
        "delimiter": delimiter and delimiter.decode(),
        "quote": quote and quote.decode(),
        "escape": shape.dialect.escape and shape.dialect.escape.decode(),
        "preamble_lines": shape.preamble_lines,
        "comment_lines": table.comment_lines,
        "footer_lines": table.footer_lines,
        "header": shape.header is not None,
        "blank_lines": table.blank_lines,
        "repairs": {"short_rows": table.repaired_short, "extra_empty_cells": table.repaired_long},
        "types": options.types,
        "null_tokens": options.null_tokens,
        "null_rule": NULL_RULE,
    }


def _read_as(decisions: Sequence[Decision]) -> dict[str, str]:
    """By the column's place, how cells that are not written the plain way were read."""
    return {str(place): found.read_as for place, found in enumerate(decisions, start=1) if found.read_as is not None}


def _read_ndjson(pieces: Iterator[bytes], task: _Task) -> _FirstPass:
    rejects = Rejects(task.scratch, task.options.max_rejected)
    with Spill(task.scratch, task.limits, None) as spill:
        table = NdjsonTable(task.limits, spill, rejects)
        table.read(pieces)
    rejects.check(rows_read=table.rows_read)
    targets, warnings = table.targets(task.options)
    dialect = {"blank_lines": table.blank_lines, "types": task.options.types}
    return _FirstPass(spill, rejects, table.rows_read, targets, dialect=dialect, warnings=warnings)


def _read_array(pieces: Iterator[bytes], task: _Task) -> _FirstPass:
    """A line of what is read is an element, and so is a rejected row's line number."""
    array = JsonArray()
    loaded = _read_ndjson(array.lines(pieces), task)
    loaded.dialect["lines_are"] = "elements"
    if not array.closed:
        loaded.warnings.append(NOT_CLOSED)
    return loaded


def _finish_text(loaded: _FirstPass, task: _Task) -> Ingested:
    rejects = loaded.rejects
    rejects.check(rows_read=loaded.rows_read)
    columns, profile = write_parts(
        loaded.spill, loaded.targets, task.scratch, task.output, task.progress, memory=task.limits.memory
    )
    rejects.write(task.output)
    return _ingested(
        columns,
        profile,
        rows_read=loaded.rows_read,
        rows_rejected=rejects.count,
        rows_repaired=loaded.repaired,
        dialect=loaded.dialect | {"rejected": {reason.value: count for reason, count in rejects.reasons.items()}},
        warnings=loaded.warnings,
    )


def _finish_table(table: ParquetTable, task: _Task, dialect: dict[str, Any]) -> Ingested:
    columns, profile, warnings = table.write_parts(task.output, task.progress)
    if not profile.rows:
        warnings.append("The file has no rows")
    return _ingested(columns, profile, rows_read=profile.rows, dialect=dialect, warnings=warnings)


def _ingested(
    columns: tuple[Column, ...],
    profile: Profile,
    *,
    rows_read: int,
    dialect: dict[str, Any],
    warnings: Sequence[str],
    rows_rejected: int = 0,
    rows_repaired: int = 0,
) -> Ingested:
    more = len(warnings) - MAX_WARNINGS
    return Ingested(
        columns=columns,
        rows_read=rows_read,
        rows_loaded=profile.rows,
        rows_rejected=rows_rejected,
        rows_repaired=rows_repaired,
        dialect=msgspec.Raw(msgspec.json.encode(dialect)),
        profile=profile.document,
        warnings=(*warnings[:MAX_WARNINGS], *([f"… and {more} more warnings"] if more > 0 else [])),
    )
