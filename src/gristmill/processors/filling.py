"""Filling what is missing: the step `fill_nulls`."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Meta
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import carrying, frequencies, spread, values
from gristmill.processors.columns import (
    Chosen,
    Family,
    exactly,
    family,
    floating,
    is_integer,
    resolve,
    strips,
    together,
)
from gristmill.processors.contract import ROW
from gristmill.processors.frequencies import Frequencies
from gristmill.processors.recalled import Recalled
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

_NUMERIC = frozenset({Family.NUMBER})
_COUNTABLE = frozenset({Family.NUMBER, Family.BOOLEAN, Family.TEXT, Family.TIME})
Cell = bool | int | float | str


class Strategy(StrEnum):
    MEAN = "mean"
    MEDIAN = "median"
    MODE = "mode"
    CONSTANT = "constant"
    FORWARD = "forward"
    DROP = "drop"

    @property
    def fits_anew(self) -> bool:
        """Whether other data is filled from itself, not by what was fitted before."""
        return self in (Strategy.FORWARD, Strategy.DROP)


_FAMILIES = {
    Strategy.MEAN: _NUMERIC,
    Strategy.MEDIAN: _NUMERIC,
    Strategy.MODE: _COUNTABLE,
    Strategy.CONSTANT: frozenset({Family.NUMBER, Family.BOOLEAN, Family.TEXT}),
    Strategy.FORWARD: frozenset(Family),
    Strategy.DROP: frozenset(Family),
}


class FillNulls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="fill_nulls"):
    """Put a value where one is missing, or drop the rows. Null columns: all that the strategy fits.

    A mean or median makes whole numbers Float64. NaN is missing. Of equally frequent values the mode is the smallest.
    `forward` takes the last value above, in the order of the dataset; what has none above stays missing.
    """

    strategy: Annotated[Strategy, Meta(description="What goes in; `drop`: the row goes out.")]
    columns: Annotated[Chosen | None, Meta(description="By names or a pattern; null: all that the strategy fits.")] = (
        None
    )
    value: Annotated[Cell | None, Meta(description="For `constant` alone.")] = None


class FillPlan(msgspec.Struct, frozen=True, tag="fill"):
    strategy: Strategy
    columns: tuple[Column, ...]
    limit: Limits
    value: Cell | None = None
    spreads: tuple[Spread, ...] = ()

    @property
    def needs_data(self) -> bool:
        return self.strategy is not Strategy.CONSTANT


class FillState(msgspec.Struct, frozen=True, tag="fill"):
    limit: Limits
    passes: tuple[Pass, ...] = ()
    frequencies: tuple[Frequencies, ...] = ()
    dropped: int = 0
    parts: pl.DataFrame | None = None
    missing: tuple[int, ...] = ()


class Fill(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes into a column. A time is its number of days or of its unit since 1970. None: there was no value.

    `type` is the column's, for a mode: such a value fits no other.
    """

    column: Annotated[str, Meta(description="Its name.")]
    value: Annotated[Cell | None, Meta(description="What goes in.")]
    floating: Annotated[bool, Meta(description="Whether the column becomes Float64.")] = False
    exact: Annotated[bool, Meta(description="Whether the value is exact.")] = True
    type: Annotated[str | None, Meta(description="The column's type, for a mode.")] = None


class FillFitted(msgspec.Struct, frozen=True, tag="fill_fitted"):
    """`begins` has, for `forward`, what each part begins with, of the columns that miss values."""

    strategy: Strategy
    columns: tuple[str, ...]
    fills: tuple[Fill, ...] = ()
    dropped: int = 0
    begins: pl.DataFrame | None = None


def plan(step: FillNulls, columns: Sequence[Column], pointer: str) -> FillPlan:
    """Raises InvalidRequest for columns or a value that the strategy does not fit."""
    fits = _FAMILIES[step.strategy]
    if step.strategy is Strategy.CONSTANT and step.value is not None and step.columns is None:
        chosen = tuple(column for column in columns if _takes(column, step.value))
    else:
        chosen = resolve(columns, step.columns, pointer=f"{pointer}/columns", families=fits)
    _check_value(step, chosen, pointer)
    if not chosen:
        fault = Fault(f"{pointer}/columns", "The dataset has no column that this strategy fits.")
        raise InvalidRequest("There is nothing to fill.", errors=(fault,))
    fractions = (0.5,) if step.strategy is Strategy.MEDIAN else ()
    spreads = (Spread(fractions=fractions),) * len(chosen) if fits is _NUMERIC else ()
    return FillPlan(step.strategy, chosen, values.limits(len(chosen)), step.value, spreads)


def ready(fitted: FillFitted, columns: Sequence[Column], pointer: str) -> FillFitted:
    """A fitted step for other data. Raises InvalidRequest for columns that are not there or of another type."""
    at = f"{pointer}/columns"
    chosen = resolve(columns, fitted.columns, pointer=at, families=_FAMILIES[fitted.strategy])
    faults = [
        Fault(f"{at}/{place}", f"The value does not fit a column of {column.type}.")
        for place, (column, fill) in enumerate(zip(chosen, fitted.fills, strict=True))
        if not _fits(column, fill)
    ]
    if faults:
        raise InvalidRequest("The fitted values do not fit the dataset.", errors=tuple(faults))
    return fitted


def _fits(column: Column, fill: Fill) -> bool:
    if fill.value is None:
        return True
    if fill.floating:
        return isinstance(fill.value, int | float) and not isinstance(fill.value, bool)
    return _takes(column, fill.value) if fill.type is None else column.type == fill.type


def after(plan: FillPlan | FillFitted, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns once filled."""
    if _FAMILIES[plan.strategy] is not _NUMERIC:
        return tuple(columns)
    return floating({column if isinstance(column, str) else column.name for column in plan.columns}, columns)


def partial(frame: pl.LazyFrame, plan: FillPlan, width: int) -> tuple[FillState, int]:
    """The state of one part, and its rows. So many columns are looked at together."""
    if plan.spreads:
        passes, rows = spread.look_all(plan.spreads, plan.columns, frame, plan.limit, width=width)
        return FillState(plan.limit, passes), rows
    names = [column.name for column in plan.columns]
    if plan.strategy is Strategy.FORWARD:
        parts, rows, missing = carrying.look(frame, plan.columns, width)
        return FillState(plan.limit, parts=parts, missing=missing), rows
    if plan.strategy is Strategy.DROP:
        return _missing_rows(frame, plan, width)
    counted: list[Frequencies] = []
    most, rows = frequencies.cap(len(names)), 0
    for group in together(plan.columns, width):
        counters = [frequencies.Counter(most) for _ in group]
        rows = 0
        for batch in strips(frame, [column.name for column in group]):
            rows += batch.height
            for column, counter in zip(group, counters, strict=True):
                counter.take(frequencies.plain(batch.get_column(column.name)))
        counted += [counter.seen() for counter in counters]
    return FillState(plan.limit, frequencies=tuple(counted)), rows


def looked_at(plan: FillPlan) -> tuple[Column, ...]:
    """The columns that the next pass looks at group by group."""
    return spread.still_open(plan.spreads, plan.columns) if plan.spreads else plan.columns


def _missing_rows(frame: pl.LazyFrame, plan: FillPlan, width: int) -> tuple[FillState, int]:
    """How many rows miss a value in any of the columns, and how many there are: a bit for each row of the part."""
    found: list[npt.NDArray[np.bool_]] = []
    for at, group in enumerate(together(plan.columns, width)):
        names = [column.name for column in group]
        for ordinal, batch in enumerate(strips(frame, names)):
            missing = batch.select(_missing(batch.schema, names).alias("x")).get_column("x").to_numpy()
            if at:
                found[ordinal] |= missing
            else:
                found.append(missing.copy())
    dropped = sum(int(np.count_nonzero(part)) for part in found)
    return FillState(plan.limit, dropped=dropped), sum(map(len, found))


def merge(states: Sequence[FillState]) -> FillState:
    limit = states[0].limit
    most = frequencies.cap(len(states[0].frequencies))
    parts = [state.parts for state in states if state.parts is not None]
    return FillState(
        limit,
        spread.merge_all([state.passes for state in states], limit),
        tuple(frequencies.merge(column, most) for column in zip(*(state.frequencies for state in states), strict=True)),
        sum(state.dropped for state in states),
        pl.concat(parts) if parts else None,
        tuple(map(sum, zip(*(state.missing for state in states), strict=True))),
    )


def finish(plan: FillPlan, state: FillState) -> FillFitted | FillPlan:
    """The fitted step, or the plan of the next pass."""
    names = tuple(column.name for column in plan.columns)
    if plan.strategy is Strategy.DROP:
        return FillFitted(plan.strategy, names, dropped=state.dropped)
    if state.parts is not None:
        gaps = [name for name, missing in zip(names, state.missing, strict=True) if missing]
        return FillFitted(plan.strategy, names, begins=carrying.carried(state.parts.select(cs.by_name(ROW, *gaps))))
    if not plan.spreads:
        pairs = zip(plan.columns, state.frequencies, strict=True)
        return FillFitted(plan.strategy, names, tuple(_mode(column, counted) for column, counted in pairs))
    spreads = spread.advance_all(plan.spreads, state.passes)
    if not all(known.done for known in spreads):
        return msgspec.structs.replace(plan, spreads=spreads)
    return _by_numbers(plan, spreads)


def recalled(plan: FillPlan, found: Recalled) -> FillFitted | None:
    """The fitted step by what is known of the columns; None if that is not enough."""
    spreads = found.spreads(plan.columns, plan.spreads) if plan.spreads else None
    return None if spreads is None else _by_numbers(plan, spreads)


def _by_numbers(plan: FillPlan, spreads: Sequence[Spread]) -> FillFitted:
    names = tuple(column.name for column in plan.columns)
    fills = tuple(
        Fill(name, known.median if plan.strategy is Strategy.MEDIAN else _mean(known), floating=True)
        for name, known in zip(names, spreads, strict=True)
    )
    return FillFitted(plan.strategy, names, fills)


def constant(plan: FillPlan) -> FillFitted:
    """The fitted step where no data is needed."""
    names = tuple(column.name for column in plan.columns)
    return FillFitted(plan.strategy, names, tuple(Fill(name, plan.value) for name in names))


def apply(frame: pl.LazyFrame, fitted: FillFitted) -> pl.LazyFrame:
    """The frame filled, or without the rows that miss a value."""
    schema = frame.collect_schema()
    if fitted.strategy is Strategy.DROP:
        return frame.filter(~_missing(schema, fitted.columns))
    if fitted.begins is not None:
        return carrying.fill(frame, fitted.begins)
    return frame.with_columns(_filled(fill, schema[fill.column]).alias(fill.column) for fill in fitted.fills)


def _filled(fill: Fill, dtype: pl.DataType) -> pl.Expr:
    column = exactly(fill.column)
    if fill.floating:
        column, dtype = column.cast(pl.Float64), pl.Float64()
    if dtype.is_float():
        column = column.fill_nan(None)
    return column if fill.value is None else column.fill_null(pl.lit(fill.value).cast(dtype))


def _missing(schema: pl.Schema, names: Sequence[str]) -> pl.Expr:
    tests = []
    for name in names:
        column = exactly(name)
        tests.append(column.is_nan().fill_null(value=True) if schema[name].is_float() else column.is_null())
    return pl.any_horizontal(*tests)


def _mean(known: Spread) -> float | None:
    return known.moments.mean if known.moments.count else None


def _mode(column: Column, counted: Frequencies) -> Fill:
    top = counted.top(1)
    if not top:
        return Fill(column.name, None)
    value = top[0][0]
    if not isinstance(value, bool | int | float | str):
        value = str(value) if isinstance(value, Decimal) else counted.physical_mode()
    return Fill(column.name, value, exact=counted.mode_is_certain, type=column.type)


def _check_value(step: FillNulls, chosen: Sequence[Column], pointer: str) -> None:
    value, at = step.value, f"{pointer}/value"
    if step.strategy is not Strategy.CONSTANT:
        if value is not None:
            raise InvalidRequest("A value does not fit.", errors=(Fault(at, "Only `constant` takes a value."),))
        return
    if value is None:
        raise InvalidRequest("A value is missing.", errors=(Fault(at, "`constant` needs a value."),))
    wrong = [column.type for column in chosen if not _takes(column, value)]
    if wrong:
        raise InvalidRequest("A value does not fit.", errors=(Fault(at, f"It does not fit a column of {wrong[0]}."),))


def _takes(column: Column, value: Cell) -> bool:
    match value:
        case bool():
            return family(column) is Family.BOOLEAN
        case int():
            return family(column) is Family.NUMBER and (not is_integer(column) or _in_range(column, value))
        case float():
            return family(column) is Family.NUMBER and not is_integer(column)
        case str():
            return column.type == "String"


def _in_range(column: Column, value: int) -> bool:
    bits = int(column.type.lstrip("UInt"))
    low, high = (0, 1 << bits) if column.type.startswith("U") else (-(1 << (bits - 1)), 1 << (bits - 1))
    return low <= value < high
