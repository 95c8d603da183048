"""The kind `anomalies`: rows with a value too far from the others of its column."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Meta
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import spread, values
from gristmill.processors.bounds import THRESHOLDS, Bounds, Method, bounds, masking
from gristmill.processors.columns import Family, batches, resolve
from gristmill.processors.contract import ROW, Again, Planned, Processor
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

_NUMERIC = frozenset({Family.NUMBER})
_BEST = f"{ROW}best"
_OWN = ("row_number", "score", "column", "bound", "scores")


class AnomaliesParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look at, and how far is too far."""

    columns: Annotated[tuple[str, ...], Meta(min_length=1, description="Numeric columns; null: all.")] | None = None
    method: Method = Method.ZSCORE
    threshold: Annotated[float, Meta(gt=0, le=1e9, description="Default 3, 3.5 and 1.5, by method.")] | None = None
    limit_rows: Annotated[int, Meta(ge=1, le=1_000_000, description="Keep at most so many, highest scores first.")] = (
        10_000
    )


class Plan(Planned, frozen=True, kw_only=True):
    """`bounds` is empty while the columns are fitted; then one more pass counts what lies outside."""

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    method: Method
    threshold: float
    limit_rows: int
    limit: Limits
    spreads: tuple[Spread, ...]
    bounds: tuple[Bounds, ...] = ()


class Counted(msgspec.Struct, frozen=True):
    """Values outside by column and side, rows flagged, and the rows with the highest scores."""

    rows: int
    flagged: int
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.uint64]


class State(msgspec.Struct, frozen=True):
    limit: Limits
    passes: tuple[Pass, ...] = ()
    counted: Counted | None = None


class Fitted(msgspec.Struct, frozen=True):
    """Of the flagged rows, those above `cut_score`, and at it those up to row `cut_row`, are in the result."""

    bounds: tuple[Bounds, ...]
    rows: int
    flagged: int
    kept: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    cut_score: float
    cut_row: int


class Anomalies(Processor[AnomaliesParams, Plan, State, Fitted]):
    """Finds the rows in which a number lies too far from the other numbers of its column.

    A row is flagged when a column's score is above the threshold; its own score is the highest of its columns.

    - `zscore`: |x - mean| / std, std with ddof 1; threshold 3.
    - `modified_zscore`: 0.6745 · |x - median| / MAD; threshold 3.5 (Iglewicz and Hoaglin, 1993). It is not misled by
      the outliers themselves. Where MAD is 0, |x - median| / (1.253314 · mean absolute deviation) is used, and the
      report says so.
    - `iqr`: distance outside the quartiles / (q3 - q1); threshold 1.5 (Tukey, 1977). Linear quantiles.

    Null and NaN are not judged. Infinite values take no part in the fit and are always flagged. A column without
    spread is not judged and is named in the report. All figures are exact.

    The result has, in the order of the dataset, the row number (from 0), the score, the column and the bound that was
    crossed, the score of every column, and the row as it was. Above `limit_rows`, the highest scores are kept.
    """

    kind = "anomalies"
    Params = AnomaliesParams
    example = {"method": "modified_zscore", "threshold": 3.5, "limit_rows": 1000}  # noqa: RUF012 - read only
    table = "anomalies.parquet"

    def plan(self, columns: Sequence[Column], params: AnomaliesParams) -> Plan:
        chosen = resolve(columns, params.columns, pointer="/params/columns", families=_NUMERIC)
        if not chosen:
            fault = Fault("/params/columns", "The dataset has no numeric column.")
            raise InvalidRequest("There is nothing to judge.", errors=(fault,))
        wanted = {
            Method.ZSCORE: Spread(shape=True),
            Method.MODIFIED_ZSCORE: Spread(mad=True),
            Method.IQR: Spread(fractions=(0.25, 0.75)),
        }[params.method]
        return Plan(
            columns=chosen,
            names=tuple(column.name for column in columns),
            method=params.method,
            threshold=params.threshold or THRESHOLDS[params.method],
            limit_rows=params.limit_rows,
            limit=values.limits(len(chosen)),
            spreads=(wanted,) * len(chosen),
        )

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        if plan.bounds:
            return State(plan.limit, counted=_count(frame, plan))
        passes, _ = spread.look_all(plan.spreads, plan.columns, frame, plan.limit)
        return State(plan.limit, passes)

    def merge(self, states: Sequence[State]) -> State:
        limit = states[0].limit
        counted = [state.counted for state in states if state.counted is not None]
        if counted:
            return State(limit, counted=_join(counted))
        return State(limit, spread.merge_all([state.passes for state in states], limit))

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        if state.counted is not None:
            return _fitted(plan, state.counted)
        spreads = spread.advance_all(plan.spreads, state.passes)
        found: tuple[Bounds, ...] = ()
        if all(known.done for known in spreads):
            pairs = zip(plan.columns, spreads, strict=True)
            found = tuple(bounds(column.name, known, plan.method) for column, known in pairs)
        return Again(msgspec.structs.replace(plan, spreads=spreads, bounds=found))

    def apply(self, frame: pl.LazyFrame, plan: Plan, fitted: Fitted) -> pl.LazyFrame:
        own = _own_names(plan.names)
        # Scores become columns before anything is said about them: said again in each expression, they would
        # make a plan that grows with the square of the columns.
        scored = frame.with_columns(bound.score().alias(_score(place)) for place, bound in enumerate(fitted.bounds))
        best = pl.col(_BEST)
        kept = (best > fitted.cut_score) | ((best == fitted.cut_score) & (pl.col(ROW) <= fitted.cut_row))
        flagged = scored.with_columns(_best(fitted.bounds)).filter(kept & (best > plan.threshold))
        crossed = [
            (bound, pl.col(_score(place)) == best)
            for place, bound in enumerate(fitted.bounds)
            if bound.unit is not None
        ]
        column = pl.coalesce(*(pl.when(hit).then(pl.lit(bound.column)) for bound, hit in crossed), _nothing(pl.String))
        limit = pl.coalesce(
            *(pl.when(hit).then(_crossed(bound, plan.threshold)) for bound, hit in crossed), _nothing(pl.Float64)
        )
        scores = pl.struct(*(pl.col(_score(place)).alias(bound.column) for place, bound in enumerate(fitted.bounds)))
        made = (pl.col(ROW), best, column, limit, scores)
        return flagged.select(
            *(value.alias(own[name]) for name, value in zip(_OWN, made, strict=True)), cs.by_name(*plan.names)
        )

    def report(self, plan: Plan, fitted: Fitted) -> dict[str, object]:
        warnings = list(plan.warnings)
        entries = []
        for place, (bound, known) in enumerate(zip(fitted.bounds, plan.spreads, strict=True)):
            entry, noted = _entry(bound, known, plan)
            entry |= {"below": fitted.low[place], "above": fitted.high[place]}
            entries.append(entry)
            warnings += noted
        if fitted.kept < fitted.flagged:
            warnings.append(f"{fitted.flagged} rows are flagged; the {fitted.kept} with the highest scores are kept.")
        return {
            "method": plan.method.value,
            "threshold": plan.threshold,
            "rows_in": fitted.rows,
            "rows_flagged": fitted.flagged,
            "rows_out": fitted.kept,
            "columns": entries,
            "degenerate_columns": [bound.column for bound in fitted.bounds if bound.unit is None],
            "output_columns": _own_names(plan.names),
            "accuracy": "exact",
            "conventions": {
                "row_number": "0 is the first row of the dataset",
                "std": "ddof 1",
                "quantiles": "linear",
                "missing": "null and NaN are not judged",
                "infinite": "no part in the fit, always flagged",
            },
            "warnings": warnings,
        }


def _nothing(kind: type[pl.DataType]) -> pl.Expr:
    return pl.lit(None, dtype=kind)


def _own_names(taken: Sequence[str]) -> dict[str, str]:
    """The names of the columns we add; one that the dataset has already gets underscores behind it."""
    used = set(taken)
    own = {}
    for name in _OWN:
        free = name
        while free in used:
            free += "_"
        own[name] = free
    return own


def _score(place: int) -> str:
    return f"{ROW}score_{place}"


def _best(found: Sequence[Bounds]) -> pl.Expr:
    """The highest of a row's scores, which are columns by now."""
    judged = [pl.col(_score(place)) for place, bound in enumerate(found) if bound.unit is not None]
    return (pl.max_horizontal(*judged) if judged else _nothing(pl.Float64)).alias(_BEST)


def _crossed(bound: Bounds, threshold: float) -> pl.Expr:
    low, high = pl.lit(bound.low(threshold)), pl.lit(bound.high(threshold))
    return pl.when(bound.value() < bound.lower).then(low).otherwise(high)


def _count(frame: pl.LazyFrame, plan: Plan) -> Counted:
    """One pass: what lies outside, by column and side, and the highest scores."""
    none = np.zeros(len(plan.bounds), dtype=np.int64)
    seen = [Counted(0, 0, none, none, np.empty(0), np.empty(0, dtype=np.uint64))]
    for batch in batches(frame, [bound.column for bound in plan.bounds]):
        seen = [_keep(_join([*seen, _count_batch(batch, plan)]), plan.limit_rows)]
    return seen[0]


def _count_batch(batch: pl.DataFrame, plan: Plan) -> Counted:
    limit = plan.threshold
    found = plan.bounds
    scored = batch.select(pl.col(ROW), *(bound.score().alias(_score(place)) for place, bound in enumerate(found)))
    scored = scored.with_columns(_best(found))
    sides = batch.select((bound.value() < bound.lower).alias(_score(place)) for place, bound in enumerate(found))
    outside = [scored.get_column(_score(place)) > limit for place in range(len(found))]
    low = np.array([(out & sides.get_column(_score(place))).sum() for place, out in enumerate(outside)], dtype=np.int64)
    both = np.array([out.sum() for out in outside], dtype=np.int64)
    flagged = scored.filter(pl.col(_BEST) > limit)
    return Counted(batch.height, flagged.height, low, both - low, flagged[_BEST].to_numpy(), flagged[ROW].to_numpy())


def _join(parts: Sequence[Counted]) -> Counted:
    return Counted(
        sum(part.rows for part in parts),
        sum(part.flagged for part in parts),
        np.sum([part.low for part in parts], axis=0),
        np.sum([part.high for part in parts], axis=0),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.numbers for part in parts]),
    )


def _keep(counted: Counted, most: int) -> Counted:
    """Only the `most` highest scores; of equal ones, the earlier rows."""
    if len(counted.scores) <= most:
        return counted
    order = np.lexsort((counted.numbers, -counted.scores))[:most]
    return msgspec.structs.replace(counted, scores=counted.scores[order], numbers=counted.numbers[order])


def _fitted(plan: Plan, counted: Counted) -> Fitted:
    kept = _keep(counted, plan.limit_rows)
    cut_score, cut_row = -math.inf, 0
    if counted.flagged > len(kept.scores):
        cut_score, cut_row = float(kept.scores[-1]), int(kept.numbers[-1])
    low, high = tuple(counted.low.tolist()), tuple(counted.high.tolist())
    return Fitted(plan.bounds, counted.rows, counted.flagged, len(kept.scores), low, high, cut_score, cut_row)


def _entry(bound: Bounds, known: Spread, plan: Plan) -> tuple[dict[str, object], list[str]]:
    """A column's place in the report, and what to warn of."""
    warnings = []
    count = known.moments.count
    entry: dict[str, object] = {
        "name": bound.column,
        "values": count,
        "low": bound.low(plan.threshold),
        "high": bound.high(plan.threshold),
        "note": bound.note,
    }
    if bound.note is not None:
        warnings.append(f"Column {bound.column}: {bound.note}.")
    if plan.method is Method.ZSCORE and bound.unit is not None and plan.threshold >= (count - 1) / math.sqrt(count):
        warnings.append(f"Column {bound.column}: of {count} values none can have a z-score above {plan.threshold:g}.")
    hidden = masking(known) if plan.method is not Method.IQR else None
    if hidden is not None:
        entry["masked"] = {"values": hidden.values, "accuracy": "exact" if hidden.exact else "approximate"}
        warnings.append(
            f"Column {bound.column}: {hidden.values} values are outliers by the modified z-score and not by the "
            "z-score: outliers inflate the standard deviation (masking)."
        )
    return entry, warnings
