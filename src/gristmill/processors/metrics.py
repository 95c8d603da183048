"""The kind `metrics`: figures about a dataset and each of its columns."""

from collections.abc import Sequence

import msgspec
import polars as pl
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.processors import correlations, figures, frequencies, hashes, profile, spread, values
from gristmill.processors.columns import Family, batches, family, resolve
from gristmill.processors.contract import Again, Planned, PlannedStep, Processor
from gristmill.processors.correlations import Comoments
from gristmill.processors.hashes import Hashes
from gristmill.processors.profile import Caps, ColumnSeen, NumberSeen
from gristmill.processors.spread import Spread

_ALL = frozenset(Family)


class MetricsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to describe."""

    columns: tuple[str, ...] | None = None
    correlations: bool = True


class Plan(Planned, frozen=True, kw_only=True):
    """`spreads` holds what is known of each column; `first` is what the first pass saw."""

    columns: tuple[Column, ...]
    caps: Caps
    spreads: tuple[Spread, ...]
    correlated: tuple[Column, ...]
    first: "State | None" = None

    def outline(self) -> tuple[PlannedStep, ...]:
        described = PlannedStep("describe", tuple(column.name for column in self.columns))
        correlated = tuple(column.name for column in self.correlated)
        return (described, PlannedStep("correlate", correlated)) if correlated else (described,)


class State(msgspec.Struct, frozen=True):
    caps: Caps
    rows: int
    columns: tuple[ColumnSeen, ...]
    repeated: Hashes = hashes.EMPTY
    comoments: Comoments | None = None


class Fitted(msgspec.Struct, frozen=True):
    rows: int
    columns: tuple[ColumnSeen, ...]
    spreads: tuple[Spread, ...]
    repeated: Hashes
    comoments: Comoments | None


class Metrics(Processor[MetricsParams, Plan, State, Fitted]):
    """Describes a dataset: its rows and columns, and each column by its type.

    Numbers: count, null, NaN, infinite, distinct, extremes, sum, mean, std and variance (ddof 1), population skew and
    excess kurtosis, linear quantiles at 1, 5, 25, 50, 75, 95 and 99 %, IQR, MAD (unscaled), zeros, negatives, a
    histogram and the most frequent values. Text: distinct and most frequent values, lengths in characters. Times:
    earliest and latest. The dataset: share of nulls, duplicate rows, Pearson correlations.

    NaN and infinite values are counted apart and take no part in the other figures. Everything is exact, but for the
    figures that a column's `accuracy` names: distinct and most frequent values where there are very many.
    """

    kind = "metrics"
    Params = MetricsParams
    example = {"correlations": True}  # noqa: RUF012 - read only

    def plan(self, columns: Sequence[Column], params: MetricsParams) -> Plan:
        chosen = resolve(columns, params.columns, pointer="/params/columns", families=_ALL)
        numeric = [column for column in chosen if family(column) is Family.NUMBER]
        correlated = tuple(numeric[: correlations.MOST_COLUMNS]) if params.correlations and len(numeric) > 1 else ()
        warnings = []
        if params.correlations and len(numeric) > correlations.MOST_COLUMNS:
            warnings.append(f"Only the first {correlations.MOST_COLUMNS} numeric columns are correlated.")
        size = len(chosen)
        caps = Caps(values.limits(len(numeric)), frequencies.cap(size), hashes.cap(size))
        wanted = Spread(fractions=figures.FRACTIONS, mad=True)
        idle = Spread(first=False)
        spreads = tuple(wanted if family(column) is Family.NUMBER else idle for column in chosen)
        return Plan(columns=chosen, caps=caps, spreads=spreads, correlated=correlated, warnings=tuple(warnings))

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        whole = plan.first is None
        open_ = [place for place, known in enumerate(plan.spreads) if whole or not known.done]
        columns = [plan.columns[place] for place in open_]
        spreads = [plan.spreads[place] for place in open_]
        seen = [profile.start(column, known, plan.caps) for column, known in zip(columns, spreads, strict=True)]
        rows, repeated = 0, hashes.EMPTY
        comoments = correlations.zero(len(plan.correlated)) if whole and plan.correlated else None
        for batch in batches(frame, [column.name for column in columns]):
            rows += batch.height
            for place, (column, known) in enumerate(zip(columns, spreads, strict=True)):
                found = profile.look(batch.get_column(column.name), column, known, plan.caps)
                seen[place] = profile.merge([seen[place], found], plan.caps)
            if whole and batch.height and columns:
                named = batch.select(cs.by_name(*(column.name for column in columns)))
                repeated = hashes.merge([repeated, hashes.of_rows(named, hashes.KEPT_ROWS)], hashes.KEPT_ROWS)
            if comoments is not None and batch.height:
                comoments = correlations.merge([comoments, correlations.measure(batch, plan.correlated)])
        return State(plan.caps, rows, tuple(seen), repeated, comoments)

    def merge(self, states: Sequence[State]) -> State:
        caps = states[0].caps
        comoments = [state.comoments for state in states if state.comoments is not None]
        return State(
            caps,
            sum(state.rows for state in states),
            tuple(profile.merge(column, caps) for column in zip(*(state.columns for state in states), strict=True)),
            hashes.merge([state.repeated for state in states], hashes.KEPT_ROWS),
            correlations.merge(comoments) if comoments else None,
        )

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        first = plan.first or state
        open_ = [place for place, known in enumerate(plan.spreads) if plan.first is None or not known.done]
        columns, spreads = list(first.columns), list(plan.spreads)
        for place, seen in zip(open_, state.columns, strict=True):
            if isinstance(seen, NumberSeen):
                spreads[place] = spreads[place].advance(seen.seen)
                columns[place] = _with_bins(columns[place], seen)
        first = msgspec.structs.replace(first, columns=tuple(columns))
        if all(known.done for known in spreads):
            return Fitted(first.rows, first.columns, tuple(spreads), first.repeated, first.comoments)
        return Again(msgspec.structs.replace(plan, spreads=tuple(spreads), first=first))

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
                "correlation": "Pearson, over the rows where both values are there",
                "top_values": "of equally frequent values the smallest first",
                "large_integers": "extremes and sums are exact, other figures are of the nearest float64",
            },
            "warnings": [*plan.warnings, *_warnings(plan, fitted)],
        }


def _with_bins(held: ColumnSeen, seen: NumberSeen) -> ColumnSeen:
    """What the first pass saw, with the histogram of a later one, and without what is in the spread by now."""
    if not isinstance(held, NumberSeen):
        return held
    return msgspec.structs.replace(held, seen=spread.Pass(), bins=held.bins if seen.bins is None else seen.bins)


def _dataset(plan: Plan, fitted: Fitted) -> dict[str, object]:
    cells = fitted.rows * len(plan.columns)
    nulls = sum(seen.nulls + (seen.nans if isinstance(seen, NumberSeen) else 0) for seen in fitted.columns)
    exact = fitted.repeated.exact(hashes.KEPT_ROWS)
    duplicates: dict[str, object] = {"value": fitted.repeated.repeats(fitted.rows, hashes.KEPT_ROWS)}
    duplicates |= {"label": "exact"} if exact else {"label": "sampled", "n": int(fitted.repeated.counts.sum())}
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
    return {"columns": names, "pearson": correlations.coefficients(fitted.comoments)}


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
