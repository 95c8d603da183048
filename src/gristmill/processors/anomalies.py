"""The kind `anomalies`: rows with a value too far from the others of its column."""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import anomaly_fit, densities, findings, flagging, forest, grouping, spread, tallies, values
from gristmill.processors.anomaly_fit import Fitted, Plan, State
from gristmill.processors.anomaly_params import (
    CONTAMINATION,
    AnomaliesParams,
    check,
    grouping_of,
    own_of,
)
from gristmill.processors.bounds import THRESHOLDS
from gristmill.processors.columns import LEAST_ROWS, Family, resolve
from gristmill.processors.contract import ROW, Again, Processor
from gristmill.processors.flagging import BEST, BOUND, LEAD
from gristmill.processors.forest import Forest
from gristmill.processors.recalled import recall

_NUMERIC = frozenset({Family.NUMBER})
WHOLE_COPIES = 12
_OWN = ("row_number", "score", "column", "bound", "scores")


class Anomalies(Processor[AnomaliesParams, Plan, State, Fitted]):
    """Finds the rows in which numbers lie too far from the other numbers of their columns.

    These methods have bounds for each column; a row's score is the highest of its columns:

    - `zscore`: |x - mean| / std, std with ddof 1; threshold 3.
    - `modified_zscore`: 0.6745 · |x - median| / MAD; threshold 3.5 (Iglewicz and Hoaglin, 1993). It is not misled by
      the outliers themselves. Where MAD is 0, |x - median| / (1.253314 · mean absolute deviation) is used, and the
      report says so.
    - `iqr`: distance outside the quartiles / (q3 - q1); threshold 1.5 (Tukey, 1977). Linear quantiles.
    - `rolling`: |x - mean| / std of the `window` before each row in the order of `time_column`: so many rows, or those
      of a time before it (rows of the same time left out). Threshold 3. Rows of equal times keep their order. A value
      is not judged while its window has fewer than `min_history` values, or when they are all equal: both are counted.
      Nor is a row without a time, which is in no window either. Rows that are not in the order of time are sorted,
      which takes more passes over the dataset.
    - `seasonal`: the modified z-score among the values of the same phase of a `season` of the time column, such as the
      same hour of the day. A trend is not taken out.

    With `by`, rows are judged among those that are the same in these columns, with these methods alone; `rolling` looks
    back over rows of the same group.

    These add up how rare each value of a row is; a row's score is the mean of its columns, in nats:

    - `hbos`: log(1 / height) in a histogram of equal bins whose fullest has height 1 (Goldstein and Dengel, 2012).
    - `copod`: -log of the tail on the side that the skewness points to, or the mean of both tails if that is higher
      (Li et al., 2020).
    - `ecod`: -log of the rarer tail (Li et al., 2022).

    This one judges whole rows:

    - `isolation_forest`: 2^(-E(h)/c(n)), h the path length in each of `trees` trees (100) of random cuts, each grown
      from `sample_rows` rows (256); 0.5 is average (Liu, Ting and Zhou, 2008). The same `seed` gives the same trees. A
      row with a missing value in one of the columns is not judged. A column's score is what its cuts add to log2 of
      the row's score, beyond that of an average row.

    A row is flagged when its score is above the threshold. With `contamination`, the threshold is the score that at
    most this share of the rows exceeds; the methods without bounds take 0.01 if neither is given.

    Null and NaN are not judged. Infinite values take no part in the fit and are always flagged. A column without
    spread is not judged and is named in the report. Figures are exact; the tails of a column with more distinct values
    than are kept are approximate, and labelled with their error; a forest is labelled with the rows it was grown from.

    The result has, in the order of the dataset, the row number (from 0), the score, the column with the highest score
    and the bound that was crossed (null without bounds), the score of every column (of more than 1,000 columns a list,
    in the order of the report), and the row as it was. Above `limit_rows`, the highest scores are kept; of more than
    1,000 columns so many rows that they have 4 million scores at most.
    """

    kind = "anomalies"
    version = 4
    Params = AnomaliesParams
    example = {"method": "modified_zscore", "threshold": 3.5, "limit_rows": 1000}  # noqa: RUF012 - read only
    table = "anomalies.parquet"

    def plan(self, columns: Sequence[Column], params: AnomaliesParams) -> Plan:
        chosen = resolve(columns, params.columns, pointer="/params/columns", families=_NUMERIC)
        if not chosen:
            fault = Fault("/params/columns", "The dataset has no such numeric column.")
            raise InvalidRequest("There is nothing to judge.", errors=(fault,))
        check(params)
        groups = grouping_of(columns, params)
        own = own_of(columns, params)
        share = params.contamination
        if params.threshold is None and share is None and not params.method.bounded:
            share = CONTAMINATION
        return Plan(
            columns=chosen,
            every=tuple(columns),
            method=params.method,
            threshold=None if share is not None else params.threshold or THRESHOLDS[params.method],
            contamination=share,
            bins=params.bins,
            limit_rows=_most_rows(params, len(chosen)),
            # Of a density, three arrays are kept of each value's two.
            limit=values.limits(grouping.MOST_CELLS if groups else len(chosen) * (1 if params.method.bounded else 2)),
            spreads=() if groups or own else (anomaly_fit.wanted(params.method, grouped=False),) * len(chosen),
            grouping=groups,
            own=own,
        )

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        state = State(plan.limit, plan.limit_rows)
        if plan.grouping is not None and plan.grouping.keys is None:
            keys = plan.grouping.collect(frame, plan.most_groups)
            return msgspec.structs.replace(state, keys=keys, most_groups=plan.most_groups)
        if plan.own is not None:
            return msgspec.structs.replace(state, own=anomaly_fit.look(frame, plan, plan.own))
        return self._columns_seen(frame, plan, state)

    @staticmethod
    def _columns_seen(frame: pl.LazyFrame, plan: Plan, state: State) -> State:
        """One pass of a method that judges column by column."""
        replace = msgspec.structs.replace
        if plan.judges and plan.threshold is not None:
            return replace(state, counted=flagging.count(frame, plan.look, plan.threshold, plan.limit_rows))
        if plan.judges and plan.top is not None:
            return replace(state, topped=flagging.top(frame, plan.look, plan.top))
        if plan.judges:
            return replace(state, ranked=flagging.rank(frame, plan.look, plan.limit, plan.search))
        if plan.grids:
            return replace(state, bins=densities.count(frame, plan.grids, plan.columns, plan.width))
        width = plan.width
        if plan.grouping is not None:
            passes = grouping.look_all(plan.grouping, plan.spreads, plan.columns, frame, plan.limit, width=width)
            return replace(state, passes=passes)
        passes, rows = spread.look_all(plan.spreads, plan.columns, frame, plan.limit, width=width)
        return replace(state, passes=passes, rows=rows)

    def recall(self, plan: Plan, kept: bytes) -> Fitted | Again[Plan] | None:
        """From what is kept of the columns, judged or cut into bins: then only the rows are looked at."""
        if plan.own is not None or plan.grouping is not None:
            return None
        found = recall(kept)
        spreads = None if found is None else found.spreads(plan.columns, plan.spreads)
        return None if found is None or spreads is None else Again(anomaly_fit.known(plan, spreads, found.rows))

    def least_memory(self, plan: Plan) -> int:
        """Some methods look at rows whole: so many rows of all columns, in a few copies."""
        if plan.own is None:
            return 0
        rows = forest.LEAST_ROWS if isinstance(plan.own, Forest) else LEAST_ROWS
        return WHOLE_COPIES * rows * len(plan.columns) * 8

    def merge(self, states: Sequence[State]) -> State:
        limit, most = states[0].limit, states[0].limit_rows
        if states[0].keys is not None:
            keys = {key for state in states for key in state.keys or ()}
            grouping.bounded(keys, states[0].most_groups)
            return State(limit, most, tuple(sorted(keys)), states[0].most_groups)
        if own := [state.own for state in states if state.own is not None]:
            return State(limit, most, own=anomaly_fit.join(own))
        return _rows_merged(states) or _columns_merged(states)

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        if state.own is not None:
            return anomaly_fit.learned(plan, state.own)
        if state.counted is not None:
            return anomaly_fit.fitted(plan, state.counted)
        if state.topped is not None:
            return anomaly_fit.topped(plan, state.topped)
        return Again(self._next(plan, state))

    @staticmethod
    def _next(plan: Plan, state: State) -> Plan:
        """The plan once a pass of a method that judges column by column has shown more."""
        if state.ranked is not None:
            return anomaly_fit.ranked(plan, state.ranked)
        if state.bins:
            pairs = zip(plan.grids, state.bins, strict=True)
            return anomaly_fit.judged(plan, tuple(densities.histogram(grid, counts) for grid, counts in pairs))
        if plan.grouping is not None and state.keys is not None:
            groups = msgspec.structs.replace(plan.grouping, keys=state.keys)
            cells = 0 if plan.own is not None else len(plan.columns) * len(state.keys)
            spreads = (anomaly_fit.wanted(plan.method, grouped=True),) * cells
            return msgspec.structs.replace(plan, grouping=groups, spreads=spreads)
        return anomaly_fit.advanced(plan, state.passes, state.rows)

    def apply(self, frame: pl.LazyFrame, plan: Plan, fitted: Fitted) -> pl.LazyFrame:
        # The rows are picked first: all else is worked out for them alone.
        if fitted.tally is None:
            found = flagging.explained(flagging.picked(frame, fitted.numbers), plan.look, fitted.threshold)
        else:
            found = frame.join(fitted.tally.table.lazy(), on=ROW, how="inner", maintain_order="left")
        return self._shown(found, plan, fitted)

    def held(self, plan: Plan, fitted: Fitted) -> pl.LazyFrame | None:
        if fitted.held is None:
            return None
        return self._shown(flagging.explained(fitted.held.lazy(), plan.look, fitted.threshold), plan, fitted)

    @staticmethod
    def _shown(found: pl.LazyFrame, plan: Plan, fitted: Fitted) -> pl.LazyFrame:
        """The columns of the result, of rows with all scores."""
        own = _own_names(plan.names)
        parts = [pl.col(flagging.score(at)).alias(column.name) for at, column in enumerate(plan.columns)]
        scores = pl.struct(parts)
        if len(parts) > flagging.MOST_FIELDS:
            scores = pl.concat_list(parts) if fitted.tally is not None else pl.col(flagging.SCORES)
        made = zip(_OWN, (pl.col(ROW), pl.col(BEST), pl.col(LEAD), pl.col(BOUND), scores), strict=True)
        return found.select(*(value.alias(own[name]) for name, value in made), cs.by_name(*plan.names))

    def report(self, plan: Plan, fitted: Fitted) -> dict[str, object]:
        warnings = list(plan.warnings)
        entries, noted = _entries(plan, fitted)
        warnings += noted
        if fitted.kept < fitted.flagged:
            warnings.append(f"{fitted.flagged} rows are flagged; the {fitted.kept} with the highest scores are kept.")
        return {
            "method": plan.method.value,
            "threshold": fitted.threshold,
            "contamination": plan.contamination,
            "row_score": findings.row_score(plan.method),
            "rows_in": fitted.rows,
            "rows_flagged": fitted.flagged,
            "rows_out": fitted.kept,
            "columns": entries,
            "groups": findings.groups(plan.grouping, fitted.judges, plan.spreads, fitted.threshold),
            "degenerate_columns": findings.degenerate(fitted.judges, entries),
            "output_columns": _own_names(plan.names),
            **findings.accuracy(fitted.judges, plan.own),
            **findings.unjudged(plan.own, fitted.tally, fitted.rows),
            "conventions": _CONVENTIONS,
            "warnings": warnings,
        }


def _most_rows(params: AnomaliesParams, columns: int) -> int:
    """The rows that the result may have: while a very wide one is written, much of it is held."""
    return params.limit_rows if columns <= flagging.MOST_FIELDS else tallies.most_rows(params.limit_rows, 2 * columns)


def _rows_merged(states: Sequence[State]) -> State | None:
    """Of passes that look at the rows' scores."""
    limit, most = states[0].limit, states[0].limit_rows
    if counted := [state.counted for state in states if state.counted is not None]:
        return State(limit, most, counted=flagging.keep(flagging.join(counted), most))
    if topped := [state.topped for state in states if state.topped is not None]:
        return State(limit, most, topped=flagging.join_top(topped))
    ranked = [state.ranked for state in states if state.ranked is not None]
    return State(limit, most, ranked=flagging.merge(ranked, limit)) if ranked else None


def _columns_merged(states: Sequence[State]) -> State:
    """Of passes that look at columns."""
    limit, most = states[0].limit, states[0].limit_rows
    if states[0].bins:
        pairs = zip(*(state.bins for state in states), strict=True)
        return State(limit, most, bins=tuple(np.sum(column, axis=0) for column in pairs))
    rows = sum(state.rows for state in states)
    return State(limit, most, passes=spread.merge_all([state.passes for state in states], limit), rows=rows)


def _entries(plan: Plan, fitted: Fitted) -> tuple[list[dict[str, object]], list[str]]:
    """Each column's place in the report, and what to warn of."""
    names = [column.name for column in plan.columns]
    if plan.own is not None and fitted.tally is not None:
        return findings.whole_rows(plan.own, names, fitted.tally, fitted.rows)
    entries: list[dict[str, object]] = []
    warnings: list[str] = []
    for place, judge in enumerate(fitted.judges):
        spreads = plan.spreads[place :: len(plan.columns)]
        sample = fitted.sample[place] if fitted.sample else None
        entry, noted = findings.entry(judge, spreads, plan.method, fitted.threshold, sample)
        low, high = fitted.low[place], fitted.high[place]
        entries.append(entry | ({"highest_in": high} if plan.mean else {"below": low, "above": high}))
        warnings += noted
    return entries, warnings


_CONVENTIONS = {
    "row_number": "0 is the first row of the dataset",
    "std": "ddof 1",
    "quantiles": "linear",
    "missing": "null and NaN are not judged",
    "infinite": "no part in the fit, always flagged",
    "contamination": "rows that share the threshold's score are not flagged",
}


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
