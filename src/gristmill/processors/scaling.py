"""Bringing numbers to one scale: the step `scale`."""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial as bind
from typing import Annotated, Literal

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import normal, power, spread, values
from gristmill.processors.columns import (
    Chosen,
    Family,
    Floats,
    exactly,
    floating,
    numbers,
    resolve,
    strips,
    together,
)
from gristmill.processors.power import PowerSearch, Shape
from gristmill.processors.recalled import Recalled
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

_NUMERIC = frozenset({Family.NUMBER})
_TOO_WIDE = "too wide for float64: left as it is"
_NOT_POSITIVE = "not all values are positive: left as it is"
MOST_QUANTILES = 1000
END = 1e-7
"""Of a normal output, shares nearer to 0 or 1 count as the ends: ±5.2 standard deviations, as in scikit-learn."""


class Method(StrEnum):
    ZSCORE = "zscore"
    MINMAX = "minmax"
    ROBUST = "robust"
    MAXABS = "maxabs"
    QUANTILE = "quantile"
    POWER = "power"


_SHAPED = frozenset({Method.QUANTILE, Method.POWER})


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="scale"):
    """Scale numbers: (x - mean) / std, (x - min) / (max - min) into `range`, (x - median) / (q3 - q1), x / max |x|.

    As scikit-learn's StandardScaler (ddof 0), MinMaxScaler, RobustScaler (linear quartiles), MaxAbsScaler. Null
    columns: all numeric ones. Scaled columns are Float64; null and NaN stay; a constant column becomes 0 (or the
    range's low end).

    `quantile` puts a number where it stands between the column's quantiles, from 0 to 1, as QuantileTransformer with
    uniform output does: 1,000 quantiles, or as many as there are values. Beyond the values that are kept exactly, they
    are approximate, and labelled with the share of rows by which they can be off. With `output: normal` the shares
    become the values of a standard normal distribution, within ±5.2.

    `power` is Yeo and Johnson's transform (2000) with the power of highest likelihood, then brought to mean 0 and
    variance 1, as PowerTransformer does. It takes a few passes more where the values are more than are kept. With
    `transform: box-cox` it is that of Box and Cox (1964), for columns whose values are all positive; others stay as
    they are, and the report says so. In other data, what is not positive becomes null.
    """

    method: Annotated[Method, Meta(description="The formula, as told above.")]
    columns: Annotated[Chosen | None, Meta(description="Numeric columns, by names or a pattern; null: all.")] = None
    range: Annotated[tuple[float, float], Meta(description="Low and high end, for `minmax`.")] = (0.0, 1.0)
    transform: Annotated[Literal["yeo-johnson", "box-cox"], Meta(description="For `power`.")] = "yeo-johnson"
    output: Annotated[Literal["uniform", "normal"], Meta(description="For `quantile`.")] = "uniform"


class ScalePlan(msgspec.Struct, frozen=True, tag="scale"):
    method: Method
    columns: tuple[Column, ...]
    range: tuple[float, float]
    limit: Limits
    spreads: tuple[Spread, ...]
    normal: bool = False
    powers: tuple[PowerSearch, ...] = ()
    box: bool = False


class ScaleState(msgspec.Struct, frozen=True, tag="scale"):
    """What a pass saw of each column; `shapes` once powers are looked for."""

    limit: Limits
    passes: tuple[Pass, ...] = ()
    shapes: tuple[Shape, ...] = ()


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """y = (x - center) / unit · stretch + shift. Without a unit the column stays as it is, in Float64.

    With a `power`, Yeo and Johnson's transform of x takes the place of x, or with `box` that of Box and Cox. With
    `quantiles`, which stand for evenly spaced shares from 0 to 1, y is the share at x, or the value of a standard
    `normal` distribution at that share. `error` is the most by which a share can be off; 0 means exact.
    """

    column: Annotated[str, Meta(description="Its name.")]
    center: Annotated[float, Meta(description="Taken off x.")] = 0.0
    unit: Annotated[float | None, Meta(description="What x is divided by; null: the column stays as it is.")] = None
    stretch: Annotated[float, Meta(description="Times this, then.")] = 1.0
    shift: Annotated[float, Meta(description="Plus this, at last.")] = 0.0
    note: Annotated[str | None, Meta(description="What was odd about the column.")] = None
    quantiles: Annotated[tuple[float, ...], Meta(description="At evenly spaced shares.")] = ()
    error: Annotated[float, Meta(description="By how much a share can be off; 0: exact.")] = 0.0
    normal: Annotated[bool, Meta(description="Whether shares become values of a normal distribution.")] = False
    power: Annotated[float | None, Meta(description="That of Yeo and Johnson, or of Box and Cox.")] = None
    box: Annotated[bool, Meta(description="Whether the power is that of Box and Cox.")] = False


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
    normal = step.output == "normal"
    if normal and step.method is not Method.QUANTILE:
        fault = Fault(f"{pointer}/output", "Only `quantile` takes it.")
        raise InvalidRequest("The output does not fit.", errors=(fault,))
    box = step.transform == "box-cox"
    if box and step.method is not Method.POWER:
        fault = Fault(f"{pointer}/transform", "Only `power` takes it.")
        raise InvalidRequest("The transform does not fit.", errors=(fault,))
    fractions = (0.25, 0.5, 0.75) if step.method is Method.ROBUST else ()
    spreads = (Spread(fractions=fractions, shape=step.method in _SHAPED),) * len(chosen)
    return ScalePlan(step.method, chosen, step.range, values.limits(len(chosen)), spreads, normal, box=box)


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


def partial(frame: pl.LazyFrame, plan: ScalePlan, width: int) -> tuple[ScaleState, int]:
    """The state of one part, and its rows. So many columns are looked at together."""
    if plan.powers:
        return _shapes(frame, plan, width)
    passes, rows = spread.look_all(plan.spreads, plan.columns, frame, plan.limit, width=width)
    return ScaleState(plan.limit, passes), rows


def looked_at(plan: ScalePlan) -> tuple[Column, ...]:
    """The columns that the next pass looks at."""
    if plan.powers:
        return tuple(column for search, column in zip(plan.powers, plan.columns, strict=True) if not search.done)
    return spread.still_open(plan.spreads, plan.columns)


def _shapes(frame: pl.LazyFrame, plan: ScalePlan, width: int) -> tuple[ScaleState, int]:
    shapes, rows = [Shape()] * len(plan.columns), 0
    places = {column.name: place for place, column in enumerate(plan.columns)}
    for group in together(looked_at(plan), width):
        rows = 0
        for batch in strips(frame, [column.name for column in group]):
            rows += batch.height
            for column in group:
                place = places[column.name]
                seen = plan.powers[place].look(numbers(batch.get_column(column.name)).finite)
                shapes[place] = power.merge([shapes[place], seen])
    return ScaleState(plan.limit, shapes=tuple(shapes)), rows


def merge(states: Sequence[ScaleState]) -> ScaleState:
    limit = states[0].limit
    return ScaleState(
        limit,
        spread.merge_all([state.passes for state in states], limit),
        tuple(power.merge(column) for column in zip(*(state.shapes for state in states), strict=True)),
    )


def recalled(plan: ScalePlan, found: Recalled) -> ScaleFitted | None:
    """The fitted step by what is known of the columns; None if that is not enough."""
    spreads = found.spreads(plan.columns, plan.spreads)
    if spreads is None or plan.method in _SHAPED:
        return None
    return _fitted(msgspec.structs.replace(plan, spreads=spreads))


def _fitted(plan: ScalePlan) -> ScaleFitted:
    return ScaleFitted(plan.method, tuple(_scaling(place, plan) for place in range(len(plan.columns))))


def finish(plan: ScalePlan, state: ScaleState) -> ScaleFitted | ScalePlan:
    """The fitted step, or the plan of the next pass."""
    if not plan.powers:
        plan = msgspec.structs.replace(plan, spreads=spread.advance_all(plan.spreads, state.passes))
        if not all(known.done for known in plan.spreads):
            return plan
        if plan.method is Method.POWER:
            plan = msgspec.structs.replace(
                plan, powers=tuple(power.start(known, box=plan.box) for known in plan.spreads)
            )
    else:
        pairs = zip(plan.powers, state.shapes, strict=True)
        plan = msgspec.structs.replace(plan, powers=tuple(search.advance(seen) for search, seen in pairs))
    if not all(search.done for search in plan.powers):
        return plan
    return _fitted(plan)


def apply(frame: pl.LazyFrame, fitted: ScaleFitted) -> pl.LazyFrame:
    change = _restored if fitted.inverse else _scaled
    return frame.with_columns(change(scaling).alias(scaling.column) for scaling in fitted.scalings)


def _scaled(scaling: Scaling) -> pl.Expr:
    value = exactly(scaling.column).cast(pl.Float64)
    if scaling.quantiles:
        return _mapped(value, bind(_share, np.array(scaling.quantiles), outward=scaling.normal))
    if scaling.unit is None:
        return value
    if scaling.power is not None:
        value = _mapped(value, bind(power.forward, power=scaling.power, box=scaling.box))
    scaled = (value - scaling.center) / scaling.unit
    if scaling.stretch == 1 and scaling.shift == 0:
        return scaled
    return scaled * scaling.stretch + scaling.shift


def _restored(scaling: Scaling) -> pl.Expr:
    value = exactly(scaling.column).cast(pl.Float64)
    if scaling.quantiles:
        return _mapped(value, bind(_at_share, np.array(scaling.quantiles), inward=scaling.normal))
    if scaling.unit is None:
        return value
    if scaling.stretch != 1 or scaling.shift != 0:
        value = (value - scaling.shift) / scaling.stretch
    value = value * scaling.unit + scaling.center
    return (
        value if scaling.power is None else _mapped(value, bind(power.backward, power=scaling.power, box=scaling.box))
    )


def _mapped(value: pl.Expr, function: Callable[[Floats], Floats]) -> pl.Expr:
    """A function of arrays, over the values that are there. Null and NaN stay what they are."""

    def mapped(series: pl.Series) -> pl.Series:
        return pl.select(pl.when(pl.lit(series).is_not_null()).then(pl.Series(function(series.to_numpy())))).to_series()

    return value.map_batches(mapped, return_dtype=pl.Float64, is_elementwise=True)


def _share(quantiles: Floats, values: Floats, *, outward: bool) -> Floats:
    """Where values stand between quantiles, as a share or, `outward`, as a normal value. Of equal ones, the middle."""
    shares = np.linspace(0, 1, len(quantiles))
    rising = np.interp(values, quantiles, shares)
    falling = np.interp(-values, -quantiles[::-1], -shares[::-1])
    found = (rising - falling) / 2
    found[values >= quantiles[-1]] = 1.0
    found[values <= quantiles[0]] = 0.0
    return normal.at_share(np.clip(found, END, 1 - END)) if outward else found


def _at_share(quantiles: Floats, shares: Floats, *, inward: bool) -> Floats:
    if inward:
        shares = normal.share(shares)
        # The ends were cut off a little inside.
        shares = np.where(shares <= END * (1 + 1e-9), 0.0, np.where(shares >= 1 - END * (1 + 1e-9), 1.0, shares))
    return np.interp(shares, np.linspace(0, 1, len(quantiles)), quantiles)


def _quantiles(name: str, known: Spread, plan: ScalePlan) -> Scaling:
    if plan.normal and known.moments.constant:
        # Of a constant, each share is as good as another; the normal value of the middle one is 0.
        return Scaling(name, known.moments.low, 1.0, note="constant")
    shares = np.linspace(0, 1, min(MOST_QUANTILES, known.moments.count))
    note = "constant" if known.moments.constant else None
    error = known.values.error / known.moments.count
    found = known.values.linear(shares)
    # The kept points of an approximate distribution do not reach its ends; the moments know them.
    found[0], found[-1] = known.moments.low, known.moments.high
    return Scaling(name, note=note, quantiles=tuple(found.tolist()), error=error, normal=plan.normal)


def _powered(name: str, known: Spread, search: PowerSearch) -> Scaling:
    if known.moments.constant:
        return Scaling(name, known.moments.low, 1.0, note="constant")
    if search.good is None:
        return Scaling(name, note=_NOT_POSITIVE if search.box and known.moments.low <= 0 else _TOO_WIDE)
    ends = np.array([known.moments.low, known.moments.high])
    note = (
        None
        if power.comes_back(ends, search.good, box=search.box)
        else "values far out lie too close together to be taken back"
    )
    return Scaling(name, search.mean, search.std, note=note, power=search.good, box=search.box)


def _scaling(place: int, plan: ScalePlan) -> Scaling:
    name, known = plan.columns[place].name, plan.spreads[place]
    seen = known.moments
    if seen.count == 0:
        return Scaling(name, note="no values")
    if plan.method is Method.QUANTILE:
        return _quantiles(name, known, plan)
    if plan.method is Method.POWER:
        return _powered(name, known, plan.powers[place])
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
        return Scaling(name, note=_TOO_WIDE)
    if unit > 0:
        return Scaling(name, center, unit, stretch, shift)
    note = "constant" if seen.constant else "the interquartile range is 0: centred, not scaled"
    return Scaling(name, center, 1.0, stretch, shift, note)
