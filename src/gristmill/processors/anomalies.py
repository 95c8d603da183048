"""The kind `anomalies`: rows with a value too far from the others of its column."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import densities, findings, flagging, grouping, spread, values
from gristmill.processors.bounds import THRESHOLDS, Bounds, Method, bounds
from gristmill.processors.columns import Chosen, Family, Names, resolve
from gristmill.processors.contract import ROW, Again, Planned, PlannedStep, Processor
from gristmill.processors.densities import Counts, Grid, Tails
from gristmill.processors.flagging import BEST, Counted, Judge, Ranked
from gristmill.processors.grouping import Grouped, Grouping, Season
from gristmill.processors.quantiles import Search
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

CONTAMINATION = 0.01
"""The share of rows that a method without bounds flags, if neither a share nor a threshold is asked for."""

_NUMERIC = frozenset({Family.NUMBER})
_OWN = ("row_number", "score", "column", "bound", "scores")


class AnomaliesParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look at, and how far is too far: a score, or a share of the rows."""

    columns: Annotated[Chosen | None, Meta(description="Numeric columns, by names or a pattern; null: all.")] = None
    method: Method = Method.ZSCORE
    threshold: Annotated[float, Meta(gt=0, le=1e9, description="Default 3, 3.5 and 1.5, by method.")] | None = None
    contamination: (
        Annotated[float, Meta(gt=0, le=0.5, description="Flag at most this share of the rows, highest scores first.")]
        | None
    ) = None
    by: Annotated[Names | None, Meta(description="Judge rows among those that are the same in these columns.")] = None
    time_column: Annotated[str | None, Meta(description="For `seasonal`.")] = None
    season: Annotated[Season | None, Meta(description="For `seasonal`; null: `hour_of_day`.")] = None
    bins: Annotated[int, Meta(ge=2, le=1000, description="For `hbos`; null: the square root of the values.")] | None = (
        None
    )
    limit_rows: Annotated[int, Meta(ge=1, le=1_000_000, description="Keep at most so many, highest scores first.")] = (
        10_000
    )


class Plan(Planned, frozen=True, kw_only=True):
    """What is known, in the order it is found: the groups' keys, `spreads`, `grids` for `hbos`, `judges`, `threshold`.

    Then rows are counted. `spreads` are by group, then by column. `search` is the threshold's, while it is looked for.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    method: Method
    threshold: float | None
    contamination: float | None
    bins: int | None
    limit_rows: int
    limit: Limits
    spreads: tuple[Spread, ...]
    grouping: Grouping | None = None
    grids: tuple[Grid, ...] = ()
    judges: tuple[Judge, ...] = ()
    search: Search | None = None

    def outline(self) -> tuple[PlannedStep, ...]:
        return (PlannedStep(self.method.value, tuple(column.name for column in self.columns)),)

    @property
    def mean(self) -> bool:
        """Whether a row's score is the mean of its columns', not the highest."""
        return not self.method.bounded

    @property
    def most_groups(self) -> int:
        return grouping.MOST_CELLS // len(self.columns)


class State(msgspec.Struct, frozen=True):
    """What one pass saw; which field is filled depends on what the plan still lacks."""

    limit: Limits
    limit_rows: int
    keys: tuple[str, ...] | None = None
    most_groups: int = 0
    passes: tuple[Pass, ...] = ()
    bins: tuple[Counts, ...] = ()
    ranked: Ranked | None = None
    counted: Counted | None = None


class Fitted(msgspec.Struct, frozen=True):
    """Of the flagged rows, those above `cut_score`, and at it those up to row `cut_row`, are in the result."""

    judges: tuple[Judge, ...]
    threshold: float
    rows: int
    flagged: int
    kept: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    cut_score: float
    cut_row: int


class Anomalies(Processor[AnomaliesParams, Plan, State, Fitted]):
    """Finds the rows in which numbers lie too far from the other numbers of their columns.

    These methods have bounds for each column; a row's score is the highest of its columns:

    - `zscore`: |x - mean| / std, std with ddof 1; threshold 3.
    - `modified_zscore`: 0.6745 · |x - median| / MAD; threshold 3.5 (Iglewicz and Hoaglin, 1993). It is not misled by
      the outliers themselves. Where MAD is 0, |x - median| / (1.253314 · mean absolute deviation) is used, and the
      report says so.
    - `iqr`: distance outside the quartiles / (q3 - q1); threshold 1.5 (Tukey, 1977). Linear quantiles.
    - `seasonal`: the modified z-score among the values of the same phase of a `season` of the time column, such as the
      same hour of the day. A trend is not taken out.

    With `by`, rows are judged among those that are the same in these columns, with these methods alone.

    These add up how rare each value of a row is; a row's score is the mean of its columns, in nats:

    - `hbos`: log(1 / height) in a histogram of equal bins whose fullest has height 1 (Goldstein and Dengel, 2012).
    - `copod`: -log of the tail on the side that the skewness points to, or the mean of both tails if that is higher
      (Li et al., 2020).
    - `ecod`: -log of the rarer tail (Li et al., 2022).

    A row is flagged when its score is above the threshold. With `contamination`, the threshold is the score that at
    most this share of the rows exceeds; the methods without bounds take 0.01 if neither is given.

    Null and NaN are not judged. Infinite values take no part in the fit and are always flagged. A column without
    spread is not judged and is named in the report. Figures are exact; the tails of a column with more distinct values
    than are kept are approximate, and labelled with their error.

    The result has, in the order of the dataset, the row number (from 0), the score, the column with the highest score
    and the bound that was crossed (null without bounds), the score of every column, and the row as it was. Above
    `limit_rows`, the highest scores are kept.
    """

    kind = "anomalies"
    version = 2
    Params = AnomaliesParams
    example = {"method": "modified_zscore", "threshold": 3.5, "limit_rows": 1000}  # noqa: RUF012 - read only
    table = "anomalies.parquet"

    def plan(self, columns: Sequence[Column], params: AnomaliesParams) -> Plan:
        chosen = resolve(columns, params.columns, pointer="/params/columns", families=_NUMERIC)
        if not chosen:
            fault = Fault("/params/columns", "The dataset has no such numeric column.")
            raise InvalidRequest("There is nothing to judge.", errors=(fault,))
        _check(params)
        groups = _grouping(columns, params)
        share = params.contamination
        if params.threshold is None and share is None and not params.method.bounded:
            share = CONTAMINATION
        return Plan(
            columns=chosen,
            names=tuple(column.name for column in columns),
            method=params.method,
            threshold=None if share is not None else params.threshold or THRESHOLDS[params.method],
            contamination=share,
            bins=params.bins,
            limit_rows=params.limit_rows,
            limit=values.limits(grouping.MOST_CELLS if groups else len(chosen)),
            spreads=() if groups else (_wanted(params.method),) * len(chosen),
            grouping=groups,
        )

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        state = State(plan.limit, plan.limit_rows)
        if plan.grouping is not None and plan.grouping.keys is None:
            keys = plan.grouping.collect(frame, plan.most_groups)
            return msgspec.structs.replace(state, keys=keys, most_groups=plan.most_groups)
        rows = flagging.look(frame, plan.judges, plan.grouping)
        if plan.judges and plan.threshold is not None:
            counted = flagging.count(rows, plan.judges, plan.threshold, plan.limit_rows, mean=plan.mean)
            return msgspec.structs.replace(state, counted=counted)
        if plan.judges:
            ranked = flagging.rank(rows, plan.judges, plan.limit, mean=plan.mean, search=plan.search)
            return msgspec.structs.replace(state, ranked=ranked)
        if plan.grids:
            return msgspec.structs.replace(state, bins=densities.count(frame, plan.grids))
        if plan.grouping is not None:
            passes = grouping.look_all(plan.grouping, plan.spreads, plan.columns, frame, plan.limit)
            return msgspec.structs.replace(state, passes=passes)
        passes, _ = spread.look_all(plan.spreads, plan.columns, frame, plan.limit)
        return msgspec.structs.replace(state, passes=passes)

    def merge(self, states: Sequence[State]) -> State:
        limit, most = states[0].limit, states[0].limit_rows
        keys = {key for state in states for key in state.keys or ()}
        if states[0].keys is not None:
            grouping.bounded(keys, states[0].most_groups)
            return State(limit, most, tuple(sorted(keys)), states[0].most_groups)
        counted = [state.counted for state in states if state.counted is not None]
        if counted:
            return State(limit, most, counted=flagging.keep(flagging.join(counted), most))
        ranked = [state.ranked for state in states if state.ranked is not None]
        if ranked:
            return State(limit, most, ranked=flagging.merge(ranked, limit))
        if states[0].bins:
            pairs = zip(*(state.bins for state in states), strict=True)
            return State(limit, most, bins=tuple(np.sum(column, axis=0) for column in pairs))
        return State(limit, most, passes=spread.merge_all([state.passes for state in states], limit))

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        if state.counted is not None:
            return _fitted(plan, state.counted)
        if state.ranked is not None:
            return Again(_ranked(plan, state.ranked))
        if state.bins:
            pairs = zip(plan.grids, state.bins, strict=True)
            found = tuple(densities.histogram(grid, counts) for grid, counts in pairs)
            return Again(msgspec.structs.replace(plan, judges=found))
        if plan.grouping is not None and state.keys is not None:
            groups = msgspec.structs.replace(plan.grouping, keys=state.keys)
            spreads = (_wanted(plan.method),) * (len(plan.columns) * len(state.keys))
            return Again(msgspec.structs.replace(plan, grouping=groups, spreads=spreads))
        return Again(_advanced(plan, state))

    def apply(self, frame: pl.LazyFrame, plan: Plan, fitted: Fitted) -> pl.LazyFrame:
        own = _own_names(plan.names)
        # Scores become columns before anything is said about them: said again in each expression, they would
        # make a plan that grows with the square of the columns.
        grouped = frame if plan.grouping is None else frame.with_columns(plan.grouping.number())
        scored = grouped.with_columns(flagging.scores(fitted.judges))
        best = pl.col(BEST)
        kept = (best > fitted.cut_score) | ((best == fitted.cut_score) & (pl.col(ROW) <= fitted.cut_row))
        totals = flagging.totals(fitted.judges, mean=plan.mean)
        flagged = scored.with_columns(totals).filter(kept & (best > fitted.threshold))
        leaders = flagging.leaders(fitted.judges)
        column = pl.coalesce(*(pl.when(hit).then(pl.lit(judge.column)) for judge, hit in leaders), _nothing(pl.String))
        crossed = [pl.when(hit).then(_crossed(judge, fitted.threshold)) for judge, hit in leaders]
        limit = pl.coalesce(*crossed, _nothing(pl.Float64))
        places = enumerate(fitted.judges)
        scores = pl.struct(*(pl.col(flagging.score(place)).alias(judge.column) for place, judge in places))
        made = (pl.col(ROW), best, column, limit, scores)
        return flagged.select(
            *(value.alias(own[name]) for name, value in zip(_OWN, made, strict=True)), cs.by_name(*plan.names)
        )

    def report(self, plan: Plan, fitted: Fitted) -> dict[str, object]:
        warnings = list(plan.warnings)
        entries = []
        for place, judge in enumerate(fitted.judges):
            spreads = plan.spreads[place :: len(plan.columns)]
            entry, noted = findings.entry(judge, spreads, plan.method, fitted.threshold)
            low, high = fitted.low[place], fitted.high[place]
            entries.append(entry | ({"highest_in": high} if plan.mean else {"below": low, "above": high}))
            warnings += noted
        if fitted.kept < fitted.flagged:
            warnings.append(f"{fitted.flagged} rows are flagged; the {fitted.kept} with the highest scores are kept.")
        approximate = any(isinstance(judge, Tails) and judge.error > 0 for judge in fitted.judges)
        return {
            "method": plan.method.value,
            "threshold": fitted.threshold,
            "contamination": plan.contamination,
            "row_score": "mean of the columns" if plan.mean else "highest of the columns",
            "rows_in": fitted.rows,
            "rows_flagged": fitted.flagged,
            "rows_out": fitted.kept,
            "columns": entries,
            "groups": findings.groups(plan.grouping, fitted.judges, plan.spreads, fitted.threshold),
            "degenerate_columns": [judge.column for judge in fitted.judges if not judge.judged],
            "output_columns": _own_names(plan.names),
            "accuracy": "approximate" if approximate else "exact",
            "conventions": _CONVENTIONS,
            "warnings": warnings,
        }


_CONVENTIONS = {
    "row_number": "0 is the first row of the dataset",
    "std": "ddof 1",
    "quantiles": "linear",
    "missing": "null and NaN are not judged",
    "infinite": "no part in the fit, always flagged",
    "contamination": "rows that share the threshold's score are not flagged",
}


def _check(params: AnomaliesParams) -> None:
    faults = []
    if params.threshold is not None and params.contamination is not None:
        faults.append(Fault("/params/contamination", "Give a threshold or a contamination, not both."))
    if params.bins is not None and params.method is not Method.HBOS:
        faults.append(Fault("/params/bins", "Only `hbos` takes bins."))
    if faults:
        raise InvalidRequest("The params do not fit each other.", errors=tuple(faults))


def _grouping(columns: Sequence[Column], params: AnomaliesParams) -> Grouping | None:
    """How rows are grouped, if they are. Raises InvalidRequest for columns that make no groups."""
    whole = frozenset({Family.NUMBER, Family.BOOLEAN, Family.TEXT, Family.TIME})
    by = resolve(columns, params.by or (), pointer="/params/by", families=whole)
    faults = [
        Fault(f"/params/by/{place}", "A column of floats makes no groups.")
        for place, column in enumerate(by)
        if column.type.startswith("Float")
    ]
    if by and not params.method.bounded:
        faults.append(Fault("/params/by", f"`{params.method}` takes no groups."))
    seasonal = params.method is Method.SEASONAL
    days = params.season in {Season.DAY_OF_WEEK, Season.MONTH_OF_YEAR}
    times = {column.name for column in columns if column.type.startswith("Date" if days else "Datetime")}
    if seasonal and params.time_column not in times:
        faults.append(Fault("/params/time_column", "This season needs a column of times, or of dates for whole days."))
    if not seasonal and (params.time_column or params.season):
        faults.append(Fault("/params/time_column", "Only `seasonal` takes a time column."))
    if faults:
        raise InvalidRequest("The groups do not fit.", errors=tuple(faults))
    names = tuple(column.name for column in by)
    if seasonal:
        return Grouping(names, params.time_column, params.season or Season.HOUR_OF_DAY)
    return Grouping(names) if names else None


def _wanted(method: Method) -> Spread:
    """What must be known of a column."""
    match method:
        case Method.MODIFIED_ZSCORE | Method.SEASONAL:
            return Spread(mad=True)
        case Method.IQR:
            return Spread(fractions=(0.25, 0.75))
        case Method.HBOS:
            return Spread()
        case _:
            return Spread(shape=True)


def _advanced(plan: Plan, state: State) -> Plan:
    """The plan once a pass has shown more of the columns."""
    spreads = spread.advance_all(plan.spreads, state.passes)
    plan = msgspec.structs.replace(plan, spreads=spreads)
    if not all(known.done for known in spreads):
        return plan
    if plan.method is Method.HBOS:
        return msgspec.structs.replace(plan, grids=densities.grids(plan.columns, spreads, plan.bins))
    return msgspec.structs.replace(plan, judges=tuple(_judge(plan, place) for place in range(len(plan.columns))))


def _judge(plan: Plan, place: int) -> Judge:
    """The judge of the column at this place."""
    column, width = plan.columns[place].name, len(plan.columns)
    if plan.grouping is not None:
        return Grouped(column, tuple(bounds(column, known, plan.method) for known in plan.spreads[place::width]))
    if plan.method.bounded:
        return bounds(column, plan.spreads[place], plan.method)
    return densities.tails(column, plan.spreads[place], both=plan.method is Method.ECOD)


def _ranked(plan: Plan, seen: Ranked) -> Plan:
    """The plan once the threshold is found, or one more pass brought it nearer."""
    if plan.search is None:
        found = flagging.threshold(seen, plan.contamination or CONTAMINATION)
    else:
        search = plan.search.settle(seen.glimpses)
        found = flagging.settled(search) if search.done else search
    if isinstance(found, float):
        return msgspec.structs.replace(plan, threshold=found, search=None)
    return msgspec.structs.replace(plan, search=found)


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


def _crossed(judge: Judge, threshold: float) -> pl.Expr:
    return judge.crossed(threshold) if isinstance(judge, Bounds | Grouped) else _nothing(pl.Float64)


def _fitted(plan: Plan, counted: Counted) -> Fitted:
    kept = flagging.keep(counted, plan.limit_rows)
    cut_score, cut_row = -math.inf, 0
    if counted.flagged > len(kept.scores):
        cut_score, cut_row = float(kept.scores[-1]), int(kept.numbers[-1])
    low, high = tuple(counted.low.tolist()), tuple(counted.high.tolist())
    limit = -math.inf if plan.threshold is None else plan.threshold
    return Fitted(plan.judges, limit, counted.rows, counted.flagged, len(kept.scores), low, high, cut_score, cut_row)
