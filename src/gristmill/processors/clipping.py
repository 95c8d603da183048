"""Cutting numbers off at bounds: the step `clip`."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import spread, values
from gristmill.processors.columns import Chosen, Family, exactly, floating, resolve
from gristmill.processors.recalled import Recalled
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

_NUMERIC = frozenset({Family.NUMBER})
Share = Annotated[float, Meta(ge=0, le=1)]


class Clip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="clip"):
    """Numbers below `low` become `low`, those above `high` become `high`. Null columns: all numeric ones.

    With `quantiles`, the bounds are each column's own linear quantiles, such as 0.01 and 0.99 (winsorizing). Clipped
    columns are Float64; null and NaN stay, infinite values are cut off too.
    """

    columns: Annotated[Chosen | None, Meta(description="Numeric columns, by names or a pattern; null: all.")] = None
    low: Annotated[float | None, Meta(description="The least that stays; null: no such bound.")] = None
    high: Annotated[float | None, Meta(description="The most that stays; null: no such bound.")] = None
    quantiles: Annotated[
        tuple[Share, Share] | None, Meta(description="Bounds by each column's quantiles, in place of `low` and `high`.")
    ] = None


class ClipPlan(msgspec.Struct, frozen=True, tag="clip"):
    columns: tuple[Column, ...]
    quantiles: tuple[float, float]
    limit: Limits
    spreads: tuple[Spread, ...]


class ClipState(msgspec.Struct, frozen=True, tag="clip"):
    limit: Limits
    passes: tuple[Pass, ...]


class Clipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column and its bounds; null: none on that side."""

    column: Annotated[str, Meta(description="Its name.")]
    low: Annotated[float | None, Meta(description="The least that stays.")]
    high: Annotated[float | None, Meta(description="The most that stays.")]


class ClipFitted(msgspec.Struct, frozen=True, tag="clip_fitted"):
    columns: tuple[Clipped, ...]


def plan(step: Clip, columns: Sequence[Column], pointer: str) -> ClipPlan | ClipFitted:
    """Raises InvalidRequest for columns that are not numeric, and for bounds that leave nothing between them."""
    chosen = resolve(columns, step.columns, pointer=f"{pointer}/columns", families=_NUMERIC)
    if not chosen:
        fault = Fault(f"{pointer}/columns", "The dataset has no such numeric column.")
        raise InvalidRequest("There is nothing to clip.", errors=(fault,))
    own = (step.low, step.high)
    if (step.quantiles is None) == (own == (None, None)):
        fault = Fault(pointer, "Give either quantiles, or a low or a high bound.")
        raise InvalidRequest("The bounds do not fit.", errors=(fault,))
    if step.quantiles is None:
        fitted = ClipFitted(tuple(Clipped(column.name, *own) for column in chosen))
        return ready(fitted, columns, pointer)
    if not step.quantiles[0] < step.quantiles[1]:
        fault = Fault(f"{pointer}/quantiles", "The low quantile must lie below the high one.")
        raise InvalidRequest("The bounds do not fit.", errors=(fault,))
    spreads = (Spread(fractions=step.quantiles),) * len(chosen)
    return ClipPlan(chosen, step.quantiles, values.limits(len(chosen)), spreads)


def ready(fitted: ClipFitted, columns: Sequence[Column], pointer: str) -> ClipFitted:
    """A fitted step for other data. Raises InvalidRequest as `plan` does."""
    names = [clipped.column for clipped in fitted.columns]
    resolve(columns, names, pointer=f"{pointer}/columns", families=_NUMERIC)
    for clipped in fitted.columns:
        low = -math.inf if clipped.low is None else clipped.low
        if low > (math.inf if clipped.high is None else clipped.high):
            fault = Fault(f"{pointer}/low", "The low bound lies above the high one.")
            raise InvalidRequest("The bounds do not fit.", errors=(fault,))
    return fitted


def after(step: ClipPlan | ClipFitted, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns once clipped."""
    names = {column.column if isinstance(column, Clipped) else column.name for column in step.columns}
    return floating(names, columns)


def partial(frame: pl.LazyFrame, plan: ClipPlan, width: int) -> tuple[ClipState, int]:
    """The state of one part, and its rows. So many columns are looked at together."""
    passes, rows = spread.look_all(plan.spreads, plan.columns, frame, plan.limit, width=width)
    return ClipState(plan.limit, passes), rows


def merge(states: Sequence[ClipState]) -> ClipState:
    limit = states[0].limit
    return ClipState(limit, spread.merge_all([state.passes for state in states], limit))


def finish(plan: ClipPlan, state: ClipState) -> ClipFitted | ClipPlan:
    """The fitted step, or the plan of the next pass."""
    spreads = spread.advance_all(plan.spreads, state.passes)
    if not all(known.done for known in spreads):
        return msgspec.structs.replace(plan, spreads=spreads)
    return _fitted(plan, spreads)


def recalled(plan: ClipPlan, found: Recalled) -> ClipFitted | None:
    """The fitted step by what is known of the columns; None if that is not enough."""
    spreads = found.spreads(plan.columns, plan.spreads)
    return None if spreads is None else _fitted(plan, spreads)


def _fitted(plan: ClipPlan, spreads: Sequence[Spread]) -> ClipFitted:
    low, high = plan.quantiles
    pairs = zip(plan.columns, spreads, strict=True)
    return ClipFitted(tuple(Clipped(column.name, known.quantile(low), known.quantile(high)) for column, known in pairs))


def apply(frame: pl.LazyFrame, fitted: ClipFitted) -> pl.LazyFrame:
    return frame.with_columns(_clipped(clipped).alias(clipped.column) for clipped in fitted.columns)


def _clipped(clipped: Clipped) -> pl.Expr:
    value = exactly(clipped.column).cast(pl.Float64)
    # Polars takes NaN for greater than any number: it is let through before the upper bound is asked.
    below = value if clipped.low is None else pl.when(value < clipped.low).then(clipped.low).otherwise(value)
    if clipped.high is None:
        return below
    return pl.when(value.is_nan() | (value <= clipped.high)).then(below).when(value > clipped.high).then(clipped.high)
