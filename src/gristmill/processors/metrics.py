"""The kind `metrics`: figures about a dataset and each of its columns."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Protocol
from uuid import UUID

import msgspec
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.processors import correlations, drift, figures, hashes, metrics_fit, profile, ranks, recalled
from gristmill.processors.columns import Family, batches, family, resolve, strips, together
from gristmill.processors.contract import Again, Processor, pack, unpack
from gristmill.processors.crew import Crew
from gristmill.processors.hashes import Hashes
from gristmill.processors.metrics_fit import Fitted, Kept, Plan, State
from gristmill.processors.naming import OtherDataset, names
from gristmill.processors.profile import NumberSeen
from gristmill.processors.ranks import RankState
from gristmill.processors.spread import Spread

_ALL = frozenset(Family)


class MetricsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to describe."""

    columns: Annotated[tuple[str, ...] | None, Meta(description="Columns to describe, by name; null: all.")] = None
    correlations: Annotated[bool, Meta(description="Pearson correlations of the numeric columns, 50 at most.")] = True
    spearman: Annotated[bool, Meta(description="Rank correlations too; takes two further looks at the columns.")] = (
        False
    )
    baseline_dataset_id: Annotated[
        UUID | None, names(OtherDataset(drift.Survey()), "A ready dataset to compare the columns with.")
    ] = None


class Metrics(Processor[MetricsParams, Plan, State, Fitted]):
    """Describes a dataset: its rows and columns, and each column by its type.

    Numbers: count, null, NaN, infinite, distinct, extremes, sum, mean, std and variance (ddof 1), population skew and
    excess kurtosis, linear quantiles at 1, 5, 25, 50, 75, 95 and 99 %, IQR, MAD (unscaled), zeros, negatives, a
    histogram and the most frequent values. Text: distinct and most frequent values, lengths in characters. Times:
    earliest and latest; of dates and datetimes also the gaps: the median step from one time to the next, how many steps
    differ from it, and the largest. Whether a column is constant, all different, or in order (`monotonic`). The
    dataset: share of nulls, duplicate rows, Pearson correlations, and with `spearman` those of ranks.

    NaN and infinite values are counted apart and take no part in the other figures. Everything is exact, but for the
    figures that a column's `accuracy` names: distinct and most frequent values where there are very many, and the gaps
    of as many times that are not in order.

    With a baseline, `drift` compares each column with that of the baseline: the population stability index and the
    distance of Kolmogorov and Smirnov of numbers, the index of texts and booleans by their most frequent values, and
    the shares of what is missing. The bins and conventions are stated; what is approximate says so, with its error.
    """

    kind = "metrics"
    version = recalled.VERSION
    Params = MetricsParams
    example = {"correlations": True}  # noqa: RUF012 - read only

    def plan(self, columns: Sequence[Column], params: MetricsParams) -> Plan:
        chosen = resolve(columns, params.columns, pointer="/params/columns", families=_ALL)
        numeric = [column for column in chosen if family(column) is Family.NUMBER]
        correlated = tuple(numeric[: correlations.MOST_COLUMNS]) if params.correlations and len(numeric) > 1 else ()
        warnings = []
        if params.correlations and len(numeric) > correlations.MOST_COLUMNS:
            warnings.append(f"Only the first {correlations.MOST_COLUMNS} numeric columns are correlated.")
        wanted = Spread(fractions=figures.FRACTIONS, mad=True)
        idle = Spread(first=False)
        return Plan(
            columns=chosen,
            caps=profile.shares(len(numeric), len(chosen)),
            spreads=tuple(wanted if family(column) is Family.NUMBER else idle for column in chosen),
            correlated=correlated,
            warnings=tuple(warnings),
            ranking=ranks.ranking(correlated) if params.spearman and correlated else None,
        )

    def informed(self, plan: Plan, surveyed: Mapping[str, Any]) -> Plan:
        if "baseline_dataset_id" not in surveyed:
            return plan
        baseline = surveyed["baseline_dataset_id"]
        found = drift.warnings(baseline, plan.columns)
        return msgspec.structs.replace(
            plan, drift=drift.plan(plan.columns), baseline=baseline, warnings=(*plan.warnings, *found)
        )

    def keep(self, plan: Plan, fitted: Fitted) -> bytes:
        return pack(Kept(self.version, plan.columns, plan.caps, fitted))

    def recall(self, plan: Plan, kept: bytes) -> Fitted | Again[Plan] | None:
        """From what is kept of all columns. What some of them have together has to be looked for again; ranks and what
        a baseline is compared with are not kept.
        """
        if plan.drift is not None or plan.ranking is not None:
            return None
        found = unpack(kept, Kept)
        places = {column: place for place, column in enumerate(found.columns)}
        if found.version != self.version or not places.keys() >= set(plan.columns):
            return None
        some = metrics_fit.chosen(found, plan, [places[column] for column in plan.columns])
        if some is None or plan.columns == found.columns:
            return some
        return Again(msgspec.structs.replace(plan, known=some))

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        watches = {
            plan.columns[at].name: profile.watch(plan.columns[at], plan.spreads[at], plan.caps) for at in plan.open
        }
        drifts, ranked = _drifts(plan), _ranked(plan)
        others: Sequence[Mapping[str, _Watch]] = (watches, drifts, ranked)
        repeated = _Repeated() if plan.whole else None
        together_ = correlations.Measured(plan.correlated) if plan.whole and plan.correlated else None
        with_rows = together_ if plan.comoments_apart is None else None
        rows = 0
        with Crew() as crew:
            for group in together(plan.looked_at, plan.width):
                names = [column.name for column in group]
                rows = 0
                for ordinal, batch in enumerate(strips(frame, names)):
                    rows += batch.height
                    series = {name: batch.get_column(name) for name in names}
                    tasks: list[Callable[[], None]] = [
                        partial(some[name].take, series[name]) for some in others for name in names if name in some
                    ]
                    if repeated is not None:
                        tasks += repeated.tasks(series)
                    if with_rows is not None and batch.height:
                        tasks.append(partial(with_rows.take, batch))
                    crew.do(tasks, rows=batch.height)
                    if repeated is not None:
                        repeated.add(ordinal, names)
        if plan.comoments_apart is not None and together_ is not None:
            _correlate(frame, plan.comoments_apart, together_)
        return State(
            plan.caps,
            rows,
            tuple(watch.seen() for watch in watches.values()),
            repeated.seen() if repeated is not None else hashes.EMPTY,
            together_.seen() if together_ is not None else None,
            drift.state(plan.drift, rows, [watcher.seen() for watcher in drifts.values()]) if drifts else None,
            _rank_state(frame, plan, ranked),
        )

    def merge(self, states: Sequence[State]) -> State:
        caps = states[0].caps
        comoments = [state.comoments for state in states if state.comoments is not None]
        return State(
            caps,
            sum(state.rows for state in states),
            tuple(profile.merge(column, caps) for column in zip(*(state.columns for state in states), strict=True)),
            hashes.merge([state.repeated for state in states], hashes.KEPT_ROWS),
            correlations.merge(comoments) if comoments else None,
            drift.merge_some([state.drift for state in states]),
            ranks.merge([state.ranks for state in states]),
        )

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        if plan.known is not None:
            repeated = hashes.tally(state.repeated, state.rows, hashes.KEPT_ROWS)
            return msgspec.structs.replace(plan.known, repeated=repeated, comoments=state.comoments)
        first, open_ = plan.first or state, plan.open
        columns, spreads = list(first.columns), list(plan.spreads)
        for place, seen in zip(open_, state.columns, strict=True):
            if isinstance(seen, NumberSeen):
                spreads[place] = spreads[place].advance(seen.seen)
                columns[place] = metrics_fit.with_bins(columns[place], seen)
        first = msgspec.structs.replace(first, columns=tuple(columns))
        ranking = ranks.advance(plan.ranking, state.ranks)
        if all(known.done for known in spreads) and (ranking is None or ranking.done):
            return metrics_fit.settled(plan, first, spreads, ranking)
        return Again(msgspec.structs.replace(plan, spreads=tuple(spreads), first=first, ranking=ranking))

    def report(self, plan: Plan, fitted: Fitted) -> dict[str, object]:
        entries = [
            figures.of_number(column, seen, known, plan.caps)
            if isinstance(seen, NumberSeen)
            else figures.of_other(column, seen, fitted.rows, plan.caps)
            for column, seen, known in zip(plan.columns, fitted.columns, fitted.spreads, strict=True)
        ]
        return {
            "rows": fitted.rows,
            "columns": entries,
            "dataset": _dataset(plan, fitted),
            "correlations": _correlations(plan, fitted),
            **drift.section(plan.baseline, fitted.drift),
            "accuracy": "exact, but for what a column's accuracy names",
            "conventions": {
                "std": "ddof 1",
                "quantiles": "linear",
                "skew": "population",
                "kurtosis": "population, excess (Fisher)",
                "mad": "median distance to the median, unscaled",
                "missing": "NaN is counted apart and treated as null",
                "infinite": "counted apart, no part in other figures",
                "count": "values that are there: not null, NaN or infinite",
                "correlation": "over the rows where both values are there; ranks are among all values of a column",
                "top_values": "of equally frequent values the smallest first",
                "monotonic": "of the values that are there, in the order of the rows; texts by code points",
                "gaps": "between different times in their order; of an even number of steps the lower middle one",
                "large_integers": "extremes and sums are exact, other figures are of the nearest float64",
            },
            "warnings": [*plan.warnings, *_warnings(plan, fitted)],
        }


class _Watch(Protocol):
    def take(self, series: pl.Series) -> None: ...


class _Repeated:
    """Hashes of whole rows, while columns come group by group: batch by batch, what is known of its rows so far."""

    def __init__(self) -> None:
        self._rows: list[hashes.RowHasher] = []
        self._cells: dict[str, hashes.Raw] = {}

    def tasks(self, series: Mapping[str, pl.Series]) -> list[Callable[[], None]]:
        """To hash the cells of a batch's columns."""

        def hash_cells(name: str) -> None:
            self._cells[name] = hashes.of_cells(series[name])

        return [partial(hash_cells, name) for name in series]

    def add(self, ordinal: int, names: Sequence[str]) -> None:
        """The cells that were hashed, to the rows of this batch."""
        if ordinal == len(self._rows):
            self._rows.append(hashes.RowHasher())
        for name in names:
            self._rows[ordinal].add(self._cells.pop(name))

    def seen(self) -> Hashes:
        gathered = hashes.Gathered(hashes.KEPT_ROWS)
        for rows in self._rows:
            gathered.add(rows.seen())
        return gathered.seen()


def _drifts(plan: Plan) -> dict[str, drift.Watcher]:
    """Who looks at the columns for what a baseline is compared with, in the first pass."""
    if plan.drift is None or not plan.whole:
        return {}
    return {column.name: drift.Watcher(column, plan.drift) for column in plan.drift.columns}


def _ranked(plan: Plan) -> dict[str, ranks.Watcher]:
    """Who looks at the columns that are ranked, in the first pass."""
    if plan.ranking is None or plan.ranking.values is not None:
        return {}
    return {column.name: ranks.Watcher(plan.ranking) for column in plan.ranking.columns}


def _rank_state(frame: pl.LazyFrame, plan: Plan, seen: Mapping[str, ranks.Watcher]) -> RankState | None:
    if plan.ranking is None or plan.ranking.done:
        return None
    if plan.ranking.second:
        return ranks.look(frame, plan.ranking)
    return RankState(plan.ranking.limit, tuple(watcher.seen() for watcher in seen.values()))


def _correlate(frame: pl.LazyFrame, columns: Sequence[Column], measured: correlations.Measured) -> None:
    for batch in batches(frame, [column.name for column in columns], correlations.batch_rows(len(columns))):
        measured.take(batch)


def _dataset(plan: Plan, fitted: Fitted) -> dict[str, object]:
    cells = fitted.rows * len(plan.columns)
    nulls = sum(seen.nulls + (seen.nans if isinstance(seen, NumberSeen) else 0) for seen in fitted.columns)
    told = fitted.repeated
    duplicates: dict[str, object] = {"value": told.repeats}
    duplicates |= {"label": "exact"} if told.exact else {"label": "sampled", "n": told.sampled}
    return {
        "rows": fitted.rows,
        "columns": len(plan.columns),
        "nulls": nulls,
        "null_ratio": nulls / cells if cells else None,
        "duplicate_rows": duplicates,
    }


def _correlations(plan: Plan, fitted: Fitted) -> dict[str, object] | None:
    if fitted.comoments is None:
        return None
    names = [column.name for column in plan.correlated]
    return {
        "columns": names,
        "pearson": correlations.coefficients(fitted.comoments),
        **ranks.section(fitted.ranking),
    }


def _warnings(plan: Plan, fitted: Fitted) -> list[str]:
    found = []
    if fitted.rows == 0:
        return ["The dataset has no rows."]
    for column, seen, known in zip(plan.columns, fitted.columns, fitted.spreads, strict=True):
        if isinstance(seen, NumberSeen):
            if known.moments.count == 0:
                found.append(f"Column {column.name}: no values.")
            elif known.moments.constant:
                found.append(f"Column {column.name}: constant.")
            if seen.infinities:
                found.append(f"Column {column.name}: {seen.infinities} infinite values are left out.")
        elif seen.nulls == fitted.rows:
            found.append(f"Column {column.name}: no values.")
        elif family(column) is Family.OTHER:
            found.append(f"Column {column.name}: of type {column.type} only nulls are counted.")
    return found
