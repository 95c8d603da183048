"""The second pass: spilled columns are cast and written as parts, with a profile on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.job import Progress
from gristmill.domain.output import Extent, OnProgress, Output
from gristmill.errors import InternalError
from gristmill.ingest.profile import Parts, Profile
from gristmill.ingest.spill import Part, Piece, Spill
from gristmill.writing import VIEW_BYTES, is_text


@dataclass(frozen=True, slots=True)
class Target:
    """A column to be: its place among the spilled ones, its name, and how the spilled column becomes it.

    `expression` gets the spilled column and its spilled type. `nulls` is how many nulls it must have, if known.
    """

    place: int
    name: str
    expression: Callable[[pl.Expr, pl.DataType], pl.Expr]
    missing: pl.DataType
    nulls: int | None = None


def write_parts(
    spill: Spill, targets: Sequence[Target], scratch: Path, output: Output, progress: OnProgress, *, memory: int
) -> tuple[tuple[Column, ...], Profile]:
    """Write every part; an empty table is one part of no rows.

    Raises InternalError if a cast made a null that was not in the data, or a row went missing: nothing is silent.
    """
    empty = _empty(spill, targets)
    parts = Parts(empty.schema, scratch, output, memory)
    done = 0

    def seen(frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal done
        done += frame.height
        progress(Progress("type", done, spill.rows))
        return frame

    if not spill.parts:
        parts.write(empty.lazy())
    for ordinal, part in enumerate(spill.parts):
        told = _part(part, targets).map_batches(seen, schema=empty.schema, streamable=True)
        written = parts.write(told, _extent(part, targets, empty.schema))
        if written != part.rows:
            raise InternalError(f"Part {ordinal} has {written} rows and not {part.rows}")
        spill.drop(part)
    profile = parts.profile(progress)
    _check_nulls(profile, targets)
    return parts.columns, profile


def _part(part: Part, targets: Sequence[Target]) -> pl.LazyFrame:
    return pl.concat([_piece(piece, targets) for piece in part.pieces])


def _extent(part: Part, targets: Sequence[Target], schema: pl.Schema) -> Extent:
    """What was spilled of the columns that stay text."""
    texts = [str(target.place) for target in targets if is_text(schema[target.name])]
    return Extent(part.rows, sum(part.sizes[name] + VIEW_BYTES * part.rows for name in texts))


def _piece(piece: Piece, targets: Sequence[Target]) -> pl.LazyFrame:
    return pl.scan_ipc(piece.path).select(_columns(targets, piece.schema))


def _columns(targets: Sequence[Target], schema: pl.Schema) -> list[pl.Expr]:
    columns = []
    for target in targets:
        spilled = str(target.place)
        if spilled in schema:
            column = target.expression(pl.col(spilled), schema[spilled])
        else:
            column = pl.lit(None, dtype=target.missing)
        columns.append(column.alias(target.name))
    return columns


def _empty(spill: Spill, targets: Sequence[Target]) -> pl.DataFrame:
    schema = spill.parts[0].pieces[0].schema if spill.parts else {str(target.place): pl.String() for target in targets}
    return pl.DataFrame(schema=schema).select(_columns(targets, pl.Schema(schema)))


def _check_nulls(profile: Profile, targets: Sequence[Target]) -> None:
    for place, (target, nulls) in enumerate(zip(targets, profile.nulls, strict=True), start=1):
        if target.nulls is not None and target.nulls != nulls:
            raise InternalError(f"column {place}: {nulls} nulls after typing, {target.nulls} before")
