"""How far the columns of a dataset have moved from those of a baseline, for the kind `metrics`.

The population stability index is the sum of (p - q) · ln(p / q) over bins, p and q being the shares of the dataset and
of the baseline (Siddiqi 2006, "Credit Risk Scorecards"; the symmetric divergence of Kullback and Leibler 1951). The
statistic of Kolmogorov and Smirnov is the greatest distance between the two distributions.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import frequencies, values
from gristmill.processors.columns import Family, Floats, family, numbers, strips, together
from gristmill.processors.contract import Fit, Planned
from gristmill.processors.crew import Crew
from gristmill.processors.frequencies import Frequencies
from gristmill.processors.values import Limits, Values

BINS = 10
MOST_VALUES = 20
LEAST_SHARE = 1e-4
MODERATE, LARGE = 0.1, 0.25
# Beside what the dataset itself keeps: half as much for each of the two.
KEPT_VALUES = 65_536
KEPT_VALUES_ALL = 1_048_576

CONVENTIONS = {
    "psi": "sum of (p - q) · ln(p / q) over bins, p of this dataset and q of the baseline",
    "bins": "numbers: between the baseline's deciles (linear), each with its upper end; "
    f"text and booleans: the baseline's {MOST_VALUES} most frequent values, and all others together",
    "empty_bins": f"a share below {LEAST_SHARE} counts as {LEAST_SHARE}",
    "level": f"none below {MODERATE} of psi, moderate below {LARGE}, else large",
    "ks": "two-sample statistic; the p-value is of its limit (Kolmogorov), for many values of a continuous column",
    "missing": "null and NaN are compared by their shares and take no part in the rest; nor do infinite values",
}


class DriftParams(Protocol):
    """Of the params, what decides which columns are compared."""

    @property
    def columns(self) -> tuple[str, ...] | None: ...


class DriftPlan(Planned, frozen=True, kw_only=True):
    columns: tuple[Column, ...]
    limit: Limits
    most: int

    @property
    def looks(self) -> int:
        return len(together(self.columns, self.width))


class DriftSeen(msgspec.Struct, frozen=True):
    """One column: the rows that miss a value, and how the others are spread."""

    missing: int = 0
    values: Values = values.EMPTY
    frequencies: Frequencies = Frequencies()


class DriftState(msgspec.Struct, frozen=True):
    """What is seen of the plan's columns."""

    plan: DriftPlan
    rows: int
    columns: tuple[DriftSeen, ...]


class Survey(Fit[Any, DriftPlan, DriftState, DriftState]):
    """What a baseline is looked at for: one pass."""

    def plan(self, columns: Sequence[Column], params: DriftParams) -> DriftPlan:
        """All columns, or those of the params. Raises InvalidRequest for one that the baseline does not have."""
        wanted = params.columns
        if wanted is None:
            return plan(columns)
        known = {column.name: column for column in columns}
        absent = [place for place, name in enumerate(wanted) if name not in known]
        if absent:
            faults = tuple(Fault(f"/params/columns/{place}", "The baseline has no such column.") for place in absent)
            raise InvalidRequest("The baseline does not fit.", errors=faults)
        return plan([known[name] for name in wanted])

    def partial(self, frame: pl.LazyFrame, plan: DriftPlan) -> DriftState:
        return look(frame, plan)

    def merge(self, states: Sequence[DriftState]) -> DriftState:
        return merge(states)

    def finish(self, plan: DriftPlan, state: DriftState) -> DriftState:
        return state


def plan(columns: Sequence[Column]) -> DriftPlan:
    """How to look at these columns."""
    share = max(256, min(KEPT_VALUES, KEPT_VALUES_ALL // max(1, len(columns))))
    limit = Limits(share, max(64, min(4096, share // 4)))
    return DriftPlan(columns=tuple(columns), limit=limit, most=frequencies.cap(len(columns)))


class Watcher:
    """Looks at one column, batch after batch."""

    def __init__(self, column: Column, plan: DriftPlan) -> None:
        self._column = column
        self._plan = plan
        self._seen = DriftSeen()

    def take(self, series: pl.Series) -> None:
        """One more batch."""
        self._seen = _joined([self._seen, _seen(series, self._column, self._plan)], self._plan)

    def seen(self) -> DriftSeen:
        return self._seen


def state(plan: DriftPlan | None, rows: int, seen: Sequence[DriftSeen]) -> DriftState | None:
    return None if plan is None else DriftState(plan, rows, tuple(seen))


def look(frame: pl.LazyFrame, plan: DriftPlan) -> DriftState:
    """What one part shows."""
    found: list[DriftSeen] = []
    rows = 0
    with Crew() as crew:
        for group in together(plan.columns, plan.width):
            watchers = [(column.name, Watcher(column, plan)) for column in group]
            rows = 0
            for batch in strips(frame, [column.name for column in group]):
                rows += batch.height
                tasks = [partial(watcher.take, batch.get_column(name)) for name, watcher in watchers]
                crew.do(tasks, rows=batch.height)
            found += [watcher.seen() for _, watcher in watchers]
    return DriftState(plan, rows, tuple(found))


def merge(states: Sequence[DriftState]) -> DriftState:
    plan = states[0].plan
    joined = (_joined(parts, plan) for parts in zip(*(state.columns for state in states), strict=True))
    return DriftState(plan, sum(state.rows for state in states), tuple(joined))


def _joined(parts: Sequence[DriftSeen], plan: DriftPlan) -> DriftSeen:
    return DriftSeen(
        sum(part.missing for part in parts),
        values.merge([part.values for part in parts], plan.limit),
        frequencies.merge([part.frequencies for part in parts], plan.most),
    )


def merge_some(states: Sequence[DriftState | None]) -> DriftState | None:
    """The same of passes that may have looked at something else."""
    there = [state for state in states if state is not None]
    return merge(there) if there else None


def section(baseline: DriftState | None, current: DriftState | None) -> dict[str, object]:
    """The report's part `drift`: every column beside that of the baseline; nothing without one."""
    if baseline is None or current is None:
        return {}
    known = {column.name: place for place, column in enumerate(baseline.plan.columns)}
    names = {column.name for column in current.plan.columns}
    found = {
        "baseline_rows": baseline.rows,
        "columns": [
            _entry(column, seen, current, known.get(column.name), baseline)
            for column, seen in zip(current.plan.columns, current.columns, strict=True)
        ],
        "only_in_baseline": [column.name for column in baseline.plan.columns if column.name not in names],
        "conventions": CONVENTIONS,
    }
    return {"drift": found}


def warnings(baseline: DriftState, columns: Sequence[Column]) -> list[str]:
    """What makes a comparison say little or nothing."""
    known = {column.name for column in baseline.plan.columns}
    if not any(column.name in known for column in columns):
        return ["The baseline has no column of this dataset."]
    return ["The baseline has no rows."] if baseline.rows == 0 else []


def _seen(series: pl.Series, column: Column, plan: DriftPlan) -> DriftSeen:
    match family(column):
        case Family.NUMBER:
            found = numbers(series)
            spread = values.merge([values.tally(found.finite)], plan.limit)
            return DriftSeen(found.nulls + found.nans, spread)
        case Family.TEXT | Family.BOOLEAN:
            return DriftSeen(series.null_count(), frequencies=frequencies.count(series, plan.most))
        case _:
            return DriftSeen(series.null_count())


def _entry(
    column: Column, seen: DriftSeen, current: DriftState, place: int | None, baseline: DriftState
) -> dict[str, object]:
    entry: dict[str, object] = {"name": column.name, "type": column.type}
    if place is None:
        return entry | {"note": "not in the baseline"}
    before, other = baseline.columns[place], baseline.plan.columns[place]
    shares = [part.missing / rows if rows else None for part, rows in ((before, baseline.rows), (seen, current.rows))]
    change = None if shares[0] is None or shares[1] is None else shares[1] - shares[0]
    entry |= {"baseline_type": other.type, "missing": {"baseline": shares[0], "share": shares[1], "change": change}}
    kind = family(column)
    if kind is not family(other):
        return entry | {"note": "of another kind in the baseline"}
    if kind is Family.NUMBER:
        return entry | _numbers(before.values, seen.values)
    if kind in (Family.TEXT, Family.BOOLEAN):
        sizes = baseline.rows - before.missing, current.rows - seen.missing
        return entry | _texts(before.frequencies, seen.frequencies, sizes)
    return entry | {"note": "compared by what is missing alone"}


def _numbers(before: Values, now: Values) -> dict[str, object]:
    if not (before.count and now.count):
        return {"psi": None, "note": "no values"}
    edges = _edges(before)
    expected, found = _shares(before, edges), _shares(now, edges)
    statistic = _distance(before, now)
    error = before.error / before.count + now.error / now.count
    accuracy: dict[str, object] = {"label": "exact"}
    if error > 0:
        # A share has two ends, and each is off by what a rank is.
        accuracy = {"label": "approximate", "shares_and_ks_off_by_at_most": min(1.0, 2 * error)}
    return {
        **_index(expected, found),
        "ks": {"statistic": statistic, "p_value": _p_value(statistic, before.count, now.count)},
        "bins": [
            {"up_to": end, "baseline": q, "share": p}
            for end, q, p in zip([*edges.tolist(), None], expected.tolist(), found.tolist(), strict=True)
        ],
        "accuracy": accuracy,
    }


def _edges(before: Values) -> Floats:
    """The ends of all bins but the last: the deciles, each once. Around the only value of a constant column."""
    edges = np.unique(before.linear(np.arange(1, BINS) / BINS))
    return np.array([np.nextafter(edges[0], -math.inf), edges[0]]) if len(edges) == 1 else edges


def _shares(seen: Values, edges: Floats) -> Floats:
    """The share of each bin: up to the first edge, between edges with the upper one, and beyond the last."""
    return np.diff(np.concatenate(([0.0], _below(seen, edges), [1.0])))


def _below(seen: Values, points: Floats) -> Floats:
    """The share of values at or below points."""
    cumulative = np.concatenate(([0.0], np.cumsum(seen.weights))) / seen.weights.sum()
    return np.asarray(cumulative[np.searchsorted(seen.points, points, side="right")], dtype=np.float64)


def _distance(before: Values, now: Values) -> float:
    points = np.concatenate((before.points, now.points))
    return float(np.abs(_below(before, points) - _below(now, points)).max())


def _p_value(statistic: float, one: int, other: int) -> float:
    """The chance of such a distance between samples of one continuous distribution, in the limit of many values."""
    scaled = statistic * math.sqrt(one / (one + other) * other)
    if scaled < 0.2:  # below, it is 1 to 12 digits, and the sum converges slowly
        return 1.0
    terms = (2 * (-1) ** (n - 1) * math.exp(-2 * (n * scaled) ** 2) for n in range(1, 101))
    return max(0.0, min(1.0, math.fsum(terms)))


def _texts(before: Frequencies, now: Frequencies, sizes: tuple[int, int]) -> dict[str, object]:
    if before.table is None or now.table is None:
        return {"psi": None, "note": "no values"}
    top = before.top(MOST_VALUES)
    counts = dict(now.table.filter(pl.col("value").is_in([value for value, _ in top])).iter_rows())
    expected = np.array([count for _, count in top], dtype=np.float64) / sizes[0]
    found = np.array([counts.get(value, 0) for value, _ in top], dtype=np.float64) / sizes[1]
    names = [value for value, _ in top]
    expected, found = (np.append(shares, max(0.0, 1.0 - float(shares.sum()))) for shares in (expected, found))
    accuracy: dict[str, object] = {"label": "exact"}
    if not (before.exact and now.exact):
        error = max(before.error / sizes[0], now.error / sizes[1])
        accuracy = {"label": "approximate", "shares_of_values_too_low_by_at_most": error}
    return {
        **_index(expected, found),
        "bins": [
            {"value": name, "baseline": q, "share": p}
            for name, q, p in zip([*names, None], expected.tolist(), found.tolist(), strict=True)
        ],
        "accuracy": accuracy,
    }


def _index(expected: Floats, found: Floats) -> dict[str, object]:
    q, p = np.maximum(expected, LEAST_SHARE), np.maximum(found, LEAST_SHARE)
    psi = float(((p - q) * np.log(p / q)).sum())
    return {"psi": psi, "level": "none" if psi < MODERATE else "moderate" if psi < LARGE else "large"}
