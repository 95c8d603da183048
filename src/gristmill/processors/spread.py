"""Centre and spread of a column, found over passes: moments, quantiles, and the distances to the median.

Used wherever a column is judged or scaled. A pass feeds `Pass`; `advance` says what the next pass must look for.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import moments, quantiles
from gristmill.processors import values as distribution
from gristmill.processors.columns import Floats, batches, numbers
from gristmill.processors.moments import Moments
from gristmill.processors.quantiles import Glimpse, Search
from gristmill.processors.values import Limits, Values


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


def look_all(
    spreads: Sequence[Spread], columns: Sequence[Column], frame: pl.LazyFrame, limit: Limits
) -> tuple[tuple[Pass, ...], int]:
    """One pass of several columns over a part, column by column in their order; and the part's rows."""
    passes = [known.look(np.empty(0), limit) for known in spreads]
    rows = 0
    for batch in batches(frame, [column.name for column in columns]):
        rows += batch.height
        for place, (known, column) in enumerate(zip(spreads, columns, strict=True)):
            if not known.done:
                seen = known.look(numbers(batch.get_column(column.name)).finite, limit)
                passes[place] = merge([passes[place], seen], limit)
    return tuple(passes), rows


def merge_all(states: Sequence[tuple[Pass, ...]], limit: Limits) -> tuple[Pass, ...]:
    return tuple(merge(column, limit) for column in zip(*states, strict=True))


def advance_all(spreads: Sequence[Spread], passes: Sequence[Pass]) -> tuple[Spread, ...]:
    """What is known after a pass; what was done stays as it is."""
    return tuple(known if known.done else known.advance(seen) for known, seen in zip(spreads, passes, strict=True))
