"""Centre and spread of a column, found over passes: moments, quantiles, and the distances to the median.

Used wherever a column is judged or scaled. A pass feeds `Pass`; `advance` says what the next pass must look for.
"""

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import moments, quantiles
from gristmill.processors import values as distribution
from gristmill.processors.columns import Floats, numbers, strips, together
from gristmill.processors.crew import Crew
from gristmill.processors.moments import Moments
from gristmill.processors.quantiles import Glimpse, Lookout, Search
from gristmill.processors.values import Gathered, Limits, Values


class Pass(msgspec.Struct, frozen=True):
    """What one pass saw of a column: moments and distribution in the first, windows and distances later."""

    moments: Moments = Moments()
    values: Values = distribution.EMPTY
    quantiles: tuple[Glimpse, ...] = ()
    distances: tuple[Glimpse, ...] = ()
    away: Moments = Moments()


class Spread(msgspec.Struct, frozen=True):
    """What is known of a column so far. `away` are the moments of the distance to the median.

    `fractions` and `mad` are what must be found exactly; with `shape`, the distribution is kept although neither is.
    """

    fractions: tuple[float, ...] = ()
    mad: bool = False
    shape: bool = False
    first: bool = True
    moments: Moments = Moments()
    values: Values = distribution.EMPTY
    quantiles: Search = Search()
    distances: Search = Search()
    away: Moments = Moments()
    centered: bool = False

    @property
    def done(self) -> bool:
        return not self.first and self.quantiles.done and self.distances.done and (self.centered or not self.mad)

    def quantile(self, fraction: float) -> float | None:
        return self.quantiles.quantile(self.moments.count, fraction)

    @property
    def median(self) -> float | None:
        return self.quantile(0.5)

    @property
    def median_distance(self) -> float | None:
        """MAD: the median of |x - median|, unscaled."""
        return self.distances.quantile(self.moments.count, 0.5)

    def look(self, batch: Floats, limit: Limits) -> Pass:
        """One pass over a batch of finite values."""
        if self.first:
            needed = bool(self.fractions) or self.mad or self.shape
            return Pass(
                moments=moments.measure(batch),
                values=distribution.merge([distribution.tally(batch)], limit) if needed else distribution.EMPTY,
            )
        median = self.distances.center
        with np.errstate(over="ignore"):
            away = Moments() if median is None or self.centered else moments.measure(np.abs(batch - median))
        return Pass(
            quantiles=self.quantiles.glimpse(batch, limit),
            distances=self.distances.glimpse(batch, limit),
            away=away,
        )

    def advance(self, seen: Pass) -> "Spread":
        """What is known after a pass."""
        if self.first:
            fractions = (*self.fractions, 0.5) if self.mad else self.fractions
            start = quantiles.search(seen.values, fractions)
            known = msgspec.structs.replace(
                self, first=False, moments=seen.moments, values=seen.values, quantiles=start
            )
        else:
            known = msgspec.structs.replace(
                self,
                quantiles=self.quantiles.settle(seen.quantiles),
                distances=self.distances.settle(seen.distances),
                away=seen.away if self.distances.center is not None and not self.centered else self.away,
                centered=self.centered or self.distances.center is not None,
            )
        return known.with_center()

    def with_center(self) -> "Spread":
        """Once the median is known, look for the distances to it."""
        if not self.mad or self.centered or not self.quantiles.done or self.distances.center is not None:
            return self
        median = self.median
        if median is None:
            return msgspec.structs.replace(self, centered=True)
        distances = quantiles.search(self.values, (0.5,), center=median)
        if not self.values.exact:
            return msgspec.structs.replace(self, distances=distances)
        away = self.values.distances(median)
        mean = float((away.points * (away.weights / away.count)).sum())
        distance = Moments(away.count, mean, low=float(away.points[0]), high=float(away.points[-1]))
        return msgspec.structs.replace(self, distances=distances, away=distance, centered=True)


def merge(parts: Sequence[Pass], limit: Limits) -> Pass:
    """Passes over neighbouring rows, joined."""
    if len(parts) == 1:
        return parts[0]
    return Pass(
        moments=moments.merge([part.moments for part in parts]),
        values=distribution.merge([part.values for part in parts], limit),
        quantiles=quantiles.merge([part.quantiles for part in parts], limit),
        distances=quantiles.merge([part.distances for part in parts], limit),
        away=moments.merge([part.away for part in parts]),
    )


class Watcher:
    """Looks at one column, batch after batch."""

    def __init__(self, known: Spread, limit: Limits) -> None:
        self._known = known
        self._limit = limit
        self._moments = Moments()
        self._away = Moments()
        needed = known.first and (known.fractions or known.mad or known.shape)
        # What is looked for exactly is checked by the next pass, so a sample of very many values will do; a shape is
        # told with its error, so it is made of all.
        self._values = _Whole(limit) if known.shape else Gathered(limit, _nothing)
        self._needed = bool(needed)
        self._quantiles = Lookout(known.quantiles, limit)
        self._distances = Lookout(known.distances, limit)

    def take(self, values: Floats) -> None:
        """One more batch of finite values."""
        known = self._known
        if known.first:
            self._moments = moments.merge([self._moments, moments.measure(values)])
            if self._needed and len(values):
                self._values.add(values)
            return
        self._quantiles.take(values)
        self._distances.take(values)
        median = known.distances.center
        if median is not None and not known.centered:
            with np.errstate(over="ignore"):
                self._away = moments.merge([self._away, moments.measure(np.abs(values - median))])

    def seen(self) -> Pass:
        if self._known.first:
            return Pass(moments=self._moments, values=self._values.seen() if self._needed else distribution.EMPTY)
        return Pass(quantiles=self._quantiles.seen(), distances=self._distances.seen(), away=self._away)


class _Whole:
    """The distribution of batch after batch, of all their values."""

    def __init__(self, limit: Limits) -> None:
        self._limit = limit
        self._seen = distribution.EMPTY

    def add(self, values: Floats) -> None:
        self._seen = distribution.merge([self._seen, distribution.tally(values)], self._limit)

    def seen(self) -> Values:
        return self._seen


def _nothing(_: Floats) -> None:
    """Nobody wants to know the values that are not kept."""


def look_all(
    spreads: Sequence[Spread], columns: Sequence[Column], frame: pl.LazyFrame, limit: Limits, *, width: int
) -> tuple[tuple[Pass, ...], int]:
    """One pass of several columns over a part, group by group of `width` columns; and the part's rows."""
    watchers = [Watcher(known, limit) for known in spreads]
    places = {column.name: place for place, column in enumerate(columns)}
    rows = 0
    with Crew() as crew:
        for group in together(still_open(spreads, columns), width):
            rows = 0
            for batch in strips(frame, [column.name for column in group]):
                rows += batch.height
                tasks = [
                    partial(_take, watchers[places[column.name]], batch.get_column(column.name)) for column in group
                ]
                crew.do(tasks, rows=batch.height)
    return tuple(watcher.seen() for watcher in watchers), rows


def still_open(spreads: Sequence[Spread], columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of which something is still looked for."""
    return tuple(column for known, column in zip(spreads, columns, strict=True) if not known.done)


def _take(watcher: Watcher, series: pl.Series) -> None:
    watcher.take(numbers(series).finite)


def merge_all(states: Sequence[tuple[Pass, ...]], limit: Limits) -> tuple[Pass, ...]:
    return tuple(merge(column, limit) for column in zip(*states, strict=True))


def advance_all(spreads: Sequence[Spread], passes: Sequence[Pass]) -> tuple[Spread, ...]:
    """What is known after a pass; what was done stays as it is."""
    return tuple(known if known.done else known.advance(seen) for known, seen in zip(spreads, passes, strict=True))
