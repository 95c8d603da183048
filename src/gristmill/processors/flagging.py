"""From the scores of columns to flagged rows: a row's score, the threshold that a share asks for, the highest rows."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors import quantiles
from gristmill.processors import values as distribution
from gristmill.processors.bounds import Bounds
from gristmill.processors.columns import Floats, batches
from gristmill.processors.contract import ROW
from gristmill.processors.densities import Density
from gristmill.processors.grouping import Grouped, Grouping
from gristmill.processors.quantiles import Glimpse, Search
from gristmill.processors.values import Limits, Values

BEST = f"{ROW}best"
LEAD = f"{ROW}lead"

Judge = Bounds | Grouped | Density


class Counted(msgspec.Struct, frozen=True):
    """Rows flagged, and the rows with the highest scores.

    With bounds, `low` and `high` are the values outside by column and side; without, `high` are the flagged rows in
    which the column's score is the highest.
    """

    rows: int
    flagged: int
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.uint64]


class Ranked(msgspec.Struct, frozen=True):
    """What a pass saw of the rows' scores: the finite ones as a distribution or through a window, the infinite ones."""

    values: Values = distribution.EMPTY
    infinite: int = 0
    glimpses: tuple[Glimpse, ...] = ()


def score(place: int) -> str:
    """The column that holds the scores of the judge at this place."""
    return f"{ROW}score_{place}"


def look(frame: pl.LazyFrame, judges: Sequence[Judge], grouping: Grouping | None) -> Iterator[pl.DataFrame]:
    """Batches with what the judges look at."""
    names = [judge.column for judge in judges]
    if grouping is None:
        return batches(frame, names)
    return (batch.with_columns(grouping.number()) for batch in batches(frame, [*names, *grouping.names]))


def scores(judges: Sequence[Judge]) -> list[pl.Expr]:
    return [judge.score().alias(score(place)) for place, judge in enumerate(judges)]


def totals(judges: Sequence[Judge], *, mean: bool) -> list[pl.Expr]:
    """A row's highest score, and its own score: that, or the mean of its columns. The scores are columns by now."""
    judged = [pl.col(score(place)) for place, judge in enumerate(judges) if judge.judged]
    if not judged:
        return [pl.lit(None, dtype=pl.Float64).alias(name) for name in (LEAD, BEST)]
    lead = pl.max_horizontal(*judged)
    own = pl.map_batches(judged, _mean, return_dtype=pl.Float64, is_elementwise=True) if mean else lead
    return [lead.alias(LEAD), own.alias(BEST)]


def _mean(columns: Sequence[pl.Series]) -> pl.Series:
    """The mean of each row's scores that are there.

    Added in the order of the columns: `pl.mean_horizontal` adds in that of its threads, so a last bit comes and goes.
    """
    total, there = np.zeros(len(columns[0])), np.zeros(len(columns[0]))
    for column in columns:
        values = column.to_numpy()
        missing = np.isnan(values)
        total += np.where(missing, 0.0, values)
        there += ~missing
    with np.errstate(invalid="ignore"):
        return pl.Series(total / there, nan_to_null=True)


def rank(
    rows: Iterable[pl.DataFrame], judges: Sequence[Judge], limit: Limits, *, mean: bool, search: Search | None
) -> Ranked:
    """One pass over the rows' scores: all of them, or what a search still needs."""
    seen = ranked(np.empty(0), limit, search)
    for batch in rows:
        own = batch.select(scores(judges)).select(totals(judges, mean=mean)).get_column(BEST).drop_nulls().to_numpy()
        seen = merge([seen, ranked(own, limit, search)], limit)
    return seen


def ranked(own: Floats, limit: Limits, search: Search | None) -> Ranked:
    """The scores of a batch's rows, as far as they are needed."""
    finite = own[np.isfinite(own)] + 0.0
    if search:
        return Ranked(glimpses=search.glimpse(finite, limit))
    return Ranked(distribution.merge([distribution.tally(finite)], limit), len(own) - len(finite))


def merge(parts: Sequence[Ranked], limit: Limits) -> Ranked:
    return Ranked(
        distribution.merge([part.values for part in parts], limit),
        sum(part.infinite for part in parts),
        quantiles.merge([part.glimpses for part in parts], limit),
    )


def threshold(seen: Ranked, share: float) -> Search | float:
    """The score above which lie at most `share` of the rows that have one: found, or to be looked for.

    It is an order statistic of the scores, so rows that share it are not flagged. Infinite scores always are.
    """
    count = seen.values.count
    place = min(count + seen.infinite - math.floor(share * (count + seen.infinite)), count) - 1
    if place < 0:
        return -math.inf
    found = quantiles.statistic(seen.values, place)
    return settled(found) if found.done else found


def settled(search: Search) -> float:
    return next(iter(search.known.values()))


def count(rows: Iterable[pl.DataFrame], judges: Sequence[Judge], limit: float, most: int, *, mean: bool) -> Counted:
    """One pass: what lies outside, by column, and the highest scores."""
    none = np.zeros(len(judges), dtype=np.int64)
    seen = Counted(0, 0, none, none, np.empty(0), np.empty(0, dtype=np.uint64))
    for batch in rows:
        scored = batch.with_columns(scores(judges)).with_columns(totals(judges, mean=mean))
        flagged = scored.filter(pl.col(BEST) > limit)
        low, high = _leading(flagged, judges) if mean else _outside(scored, judges, limit)
        found = Counted(batch.height, flagged.height, low, high, flagged[BEST].to_numpy(), flagged[ROW].to_numpy())
        seen = keep(join([seen, found]), most)
    return seen


def join(parts: Sequence[Counted]) -> Counted:
    return Counted(
        sum(part.rows for part in parts),
        sum(part.flagged for part in parts),
        np.sum([part.low for part in parts], axis=0),
        np.sum([part.high for part in parts], axis=0),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.numbers for part in parts]),
    )


def keep(counted: Counted, most: int) -> Counted:
    """Only the `most` highest scores; of equal ones, the earlier rows."""
    if len(counted.scores) <= most:
        return counted
    order = np.lexsort((counted.numbers, -counted.scores))[:most]
    return msgspec.structs.replace(counted, scores=counted.scores[order], numbers=counted.numbers[order])


def leaders(judges: Sequence[Judge]) -> list[tuple[Judge, pl.Expr]]:
    """Each judge, and whether its score is the row's highest; the first that says so is the row's."""
    return [(judge, pl.col(score(place)) == pl.col(LEAD)) for place, judge in enumerate(judges) if judge.judged]


Sides = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _outside(scored: pl.DataFrame, judges: Sequence[Judge], limit: float) -> Sides:
    bounds = [judge for judge in judges if isinstance(judge, Bounds | Grouped)]
    sides = scored.select(bound.beneath().alias(score(place)) for place, bound in enumerate(bounds))
    outside = [scored.get_column(score(place)) > limit for place in range(len(bounds))]
    low = np.array([(out & sides.get_column(score(place))).sum() for place, out in enumerate(outside)], dtype=np.int64)
    both = np.array([out.sum() for out in outside], dtype=np.int64)
    return low, both - low


def _leading(flagged: pl.DataFrame, judges: Sequence[Judge]) -> Sides:
    led = np.zeros(len(judges), dtype=np.int64)
    free = pl.repeat(value=True, n=flagged.height, dtype=pl.Boolean, eager=True)
    for place, judge in enumerate(judges):
        if judge.judged:
            hits = flagged.get_column(score(place)).eq(flagged.get_column(LEAD)).fill_null(value=False) & free
            led[place] = hits.sum()
            free = free & ~hits
    return np.zeros_like(led), led
