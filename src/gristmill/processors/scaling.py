"""Bringing numbers to one scale: the step `scale`."""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial as bind
from typing import Annotated

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import spread, values
from gristmill.processors.columns import Chosen, Family, Floats, exactly, floating, resolve
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

_NUMERIC = frozenset({Family.NUMBER})
MOST_QUANTILES = 1000


class Method(StrEnum):
    ZSCORE = "zscore"
    MINMAX = "minmax"
    ROBUST = "robust"
    MAXABS = "maxabs"
    QUANTILE = "quantile"


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="scale"):
    """Scale numbers: (x - mean) / std, (x - min) / (max - min) into `range`, (x - median) / (q3 - q1), x / max |x|.

    As scikit-learn's StandardScaler (ddof 0), MinMaxScaler, RobustScaler (linear quartiles), MaxAbsScaler. Null
    columns: all numeric ones. Scaled columns are Float64; null and NaN stay; a constant column becomes 0 (or the
    range's low end).

    `quantile` puts a number where it stands between the column's quantiles, from 0 to 1, as QuantileTransformer with
    uniform output does: 1,000 quantiles, or as many as there are values. Beyond the values that are kept exactly, they
    are approximate, and labelled with the share of rows by which they can be off.
    """

    method: Method
    columns: Chosen | None = None
    range: Annotated[tuple[float, float], Meta(description="Low and high end, for `minmax`.")] = (0.0, 1.0)


class ScalePlan(msgspec.Struct, frozen=True, tag="scale"):
    method: Method
    columns: tuple[Column, ...]
    range: tuple[float, float]
    limit: Limits
    spreads: tuple[Spread, ...]


class ScaleState(msgspec.Struct, frozen=True, tag="scale"):
    limit: Limits
    passes: tuple[Pass, ...]


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """y = (x - center) / unit · stretch + shift. Without a unit the column stays as it is, in Float64.

    With `quantiles`, which stand for evenly spaced shares from 0 to 1, y is the share at x. `error` is the most by
    which a share can be off; 0 means exact.
    """

    column: str
    center: float = 0.0
    unit: float | None = None
    stretch: float = 1.0
    shift: float = 0.0
    note: str | None = None
    quantiles: tuple[float, ...] = ()
    error: float = 0.0


class ScaleFitted(msgspec.Struct, frozen=True, tag="scale_fitted"):
    """With `inverse`, scaled numbers are taken back to what they were."""

    method: Method
    scalings: tuple[Scaling, ...]
    inverse: bool = False


def plan(step: Scale, columns: Sequence[Column], pointer: str) -> ScalePlan:
    """Raises InvalidRequest for columns that are not numeric, and a range that is empty or not for the method."""
    chosen = resolve(columns, step.columns, pointer=f"{pointer}/columns", families=_NUMERIC)
    if not chosen:
        fault = Fault(f"{pointer}/columns", "The dataset has no numeric column.")
        raise InvalidRequest("There is nothing to scale.", errors=(fault,))
    low, high = step.range
    if not low < high or not math.isfinite(high - low):
        fault = Fault(f"{pointer}/range", "The low end must lie below the high end.")
        raise InvalidRequest("The range does not fit.", errors=(fault,))
    if step.method is not Method.MINMAX and step.range != (0.0, 1.0):
        fault = Fault(f"{pointer}/range", "Only `minmax` takes a range.")
        raise InvalidRequest("The range does not fit.", errors=(fault,))
    fractions = (0.25, 0.5, 0.75) if step.method is Method.ROBUST else ()
    spreads = (Spread(fractions=fractions, shape=step.method is Method.QUANTILE),) * len(chosen)
    return ScalePlan(step.method, chosen, step.range, values.limits(len(chosen)), spreads)


def after(plan: ScalePlan, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns once scaled."""
    return floating({column.name for column in plan.columns}, columns)


def ready(fitted: ScaleFitted, columns: Sequence[Column], pointer: str) -> ScaleFitted:
    """A fitted step for other data. Raises InvalidRequest for columns that are not there or not numeric."""
    names = [scaling.column for scaling in fitted.scalings]
    resolve(columns, names, pointer=f"{pointer}/columns", families=_NUMERIC)
    faults = [
        Fault(f"{pointer}/columns/{place}", "The unit must be positive, the stretch not 0, the quantiles rising.")
        for place, scaling in enumerate(fitted.scalings)
        if (scaling.unit is not None and not scaling.unit > 0)
        or scaling.stretch == 0
        or list(scaling.quantiles) != sorted(scaling.quantiles)
    ]
    if faults:
        raise InvalidRequest("The fitted figures scale nothing.", errors=tuple(faults))
    return fitted


def after_all(scalings: Sequence[Scaling], columns: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns once scaled by a fitted step."""
    return floating({scaling.column for scaling in scalings}, columns)


def partial(frame: pl.LazyFrame, plan: ScalePlan) -> tuple[ScaleState, int]:
    """The state of one part, and its rows."""
    passes, rows = spread.look_all(plan.spreads, plan.columns, frame, plan.limit)
    return ScaleState(plan.limit, passes), rows


def merge(states: Sequence[ScaleState]) -> ScaleState:
    limit = states[0].limit
    return ScaleState(limit, spread.merge_all([state.passes for state in states], limit))


def finish(plan: ScalePlan, state: ScaleState) -> ScaleFitted | ScalePlan:
    """The fitted step, or the plan of the next pass."""
    spreads = spread.advance_all(plan.spreads, state.passes)
    if not all(known.done for known in spreads):
        return msgspec.structs.replace(plan, spreads=spreads)
    pairs = zip(plan.columns, spreads, strict=True)
    return ScaleFitted(plan.method, tuple(_scaling(column.name, known, plan) for column, known in pairs))


def apply(frame: pl.LazyFrame, fitted: ScaleFitted) -> pl.LazyFrame:
    change = _restored if fitted.inverse else _scaled
    return frame.with_columns(change(scaling).alias(scaling.column) for scaling in fitted.scalings)


def _scaled(scaling: Scaling) -> pl.Expr:
    value = exactly(scaling.column).cast(pl.Float64)
    if scaling.quantiles:
        return _mapped(value, bind(_share, np.array(scaling.quantiles)))
    if scaling.unit is None:
        return value
    scaled = (value - scaling.center) / scaling.unit
    if scaling.stretch == 1 and scaling.shift == 0:
        return scaled
    return scaled * scaling.stretch + scaling.shift


def _restored(scaling: Scaling) -> pl.Expr:
    value = exactly(scaling.column).cast(pl.Float64)
    if scaling.quantiles:
        return _mapped(value, bind(_at_share, np.array(scaling.quantiles)))
    if scaling.unit is None:
        return value
    if scaling.stretch != 1 or scaling.shift != 0:
        value = (value - scaling.shift) / scaling.stretch
    return value * scaling.unit + scaling.center


def _mapped(value: pl.Expr, function: Callable[[Floats], Floats]) -> pl.Expr:
    """A function of arrays, over the values that are there. Null and NaN stay what they are."""

    def mapped(series: pl.Series) -> pl.Series:
        return pl.select(pl.when(pl.lit(series).is_not_null()).then(pl.Series(function(series.to_numpy())))).to_series()

    return value.map_batches(mapped, return_dtype=pl.Float64, is_elementwise=True)


def _share(quantiles: Floats, values: Floats) -> Floats:
    """Where values stand between quantiles. Of a run of equal quantiles, the middle."""
    shares = np.linspace(0, 1, len(quantiles))
    rising = np.interp(values, quantiles, shares)
    falling = np.interp(-values, -quantiles[::-1], -shares[::-1])
    found = (rising - falling) / 2
    found[values >= quantiles[-1]] = 1.0
    found[values <= quantiles[0]] = 0.0
    return found


def _at_share(quantiles: Floats, shares: Floats) -> Floats:
    return np.interp(shares, np.linspace(0, 1, len(quantiles)), quantiles)


def _quantiles(name: str, known: Spread) -> Scaling:
    shares = np.linspace(0, 1, min(MOST_QUANTILES, known.moments.count))
    note = "constant" if known.moments.constant else None
    error = known.values.error / known.moments.count
    found = known.values.linear(shares)
    # The kept points of an approximate distribution do not reach its ends; the moments know them.
    found[0], found[-1] = known.moments.low, known.moments.high
    return Scaling(name, note=note, quantiles=tuple(found.tolist()), error=error)


def _scaling(name: str, known: Spread, plan: ScalePlan) -> Scaling:
    seen = known.moments
    if seen.count == 0:
        return Scaling(name, note="no values")
    if plan.method is Method.QUANTILE:
        return _quantiles(name, known)
    stretch, shift = 1.0, 0.0
    match plan.method:
        case Method.ZSCORE:
            center, unit = seen.mean, seen.std(ddof=0) or 0.0
        case Method.MINMAX:
            center, unit = seen.low, seen.high - seen.low
            stretch, shift = plan.range[1] - plan.range[0], plan.range[0]
        case Method.MAXABS:
            center, unit = 0.0, max(abs(seen.low), abs(seen.high))
        case _:
            center = known.median or 0.0
            unit = (known.quantile(0.75) or 0.0) - (known.quantile(0.25) or 0.0)
    if not (math.isfinite(unit) and math.isfinite(center)):
        return Scaling(name, note="too wide for float64: left as it is")
    if unit > 0:
        return Scaling(name, center, unit, stretch, shift)
    note = "constant" if seen.constant else "the interquartile range is 0: centred, not scaled"
    return Scaling(name, center, 1.0, stretch, shift, note)
