"""Rows judged among their like: groups by columns, and by the phase of a season."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.domain.column import Column
from gristmill.errors import BadData
from gristmill.processors import spread
from gristmill.processors.bounds import Bounds
from gristmill.processors.columns import Floats, batches, exactly, numbers, strips, together
from gristmill.processors.contract import ROW
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

MOST_CELLS = 20_000
"""Groups times columns: at 256 kept values each, 80 MiB."""
GROUP = f"{ROW}group"
Places = npt.NDArray[np.uint32]


class Season(StrEnum):
    HOUR_OF_DAY = "hour_of_day"
    DAY_OF_WEEK = "day_of_week"
    HOUR_OF_WEEK = "hour_of_week"
    MONTH_OF_YEAR = "month_of_year"


class Grouping(msgspec.Struct, frozen=True):
    """The columns that make groups, and the season of a time column. `keys` are the groups, once known, sorted.

    A key is a JSON object of texts. Null is a group of its own. Hours and days are those of the column's time zone;
    the first day of a week is Monday, 1, and its first hour 0.
    """

    by: tuple[str, ...] = ()
    time: str | None = None
    season: Season | None = None
    keys: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.by if self.time is None else (*self.by, self.time)

    def number(self) -> pl.Expr:
        """The place of a row's key, as the column `GROUP`."""
        keys = pl.Series(self.keys or (), dtype=pl.String)
        places = pl.Series(range(len(keys)), dtype=pl.UInt32)
        return self._key().replace_strict(keys, places, default=None, return_dtype=pl.UInt32).alias(GROUP)

    def collect(self, frame: pl.LazyFrame, most: int) -> tuple[str, ...]:
        """The keys of one part, sorted. Raises BadData for more than `most`."""
        found: set[str] = set()
        for batch in batches(frame, self.names):
            found.update(batch.select(self._key().alias(GROUP)).get_column(GROUP).unique().to_list())
            bounded(found, most)
        return tuple(sorted(found))

    def _key(self) -> pl.Expr:
        parts = [exactly(name).cast(pl.String).alias(name) for name in self.by]
        if self.time is not None and self.season is not None:
            parts.append(_phase(exactly(self.time), self.season).cast(pl.String).alias(self.season.value))
        return pl.struct(*parts).struct.json_encode()


class Grouped(msgspec.Struct, frozen=True, tag="grouped"):
    """A column's bounds, group by group."""

    column: str
    groups: tuple[Bounds, ...]

    @property
    def judged(self) -> bool:
        return any(bound.judged for bound in self.groups)

    @property
    def note(self) -> str | None:
        return None if self.judged else "no group of rows has a spread"

    def rate(self, values: Floats, group: Places) -> Floats:
        """As those of `Bounds`, by the bounds of each row's group; NaN in a group that is not judged."""
        with np.errstate(invalid="ignore", over="ignore"):
            away = np.maximum(self._lower()[group] - values, values - self._upper()[group])
            found: Floats = away / self._units()[group]
        return found

    def beneath(self, values: Floats, group: Places) -> npt.NDArray[np.bool_]:
        """Whether a value is nearer to the lower bound."""
        found: npt.NDArray[np.bool_] = values < self._lower()[group]
        return found

    def crossed(self, values: Floats, group: Places, threshold: float) -> Floats:
        """The bounds that values outside have crossed."""
        step = threshold * self._units()[group]
        return np.where(self.beneath(values, group), self._lower()[group] - step, self._upper()[group] + step)

    def _lower(self) -> Floats:
        return np.array([bound.lower for bound in self.groups])

    def _upper(self) -> Floats:
        return np.array([bound.upper for bound in self.groups])

    def _units(self) -> Floats:
        return np.array([np.nan if bound.unit is None else bound.unit for bound in self.groups])


def bounded(found: Sequence[str] | set[str], most: int) -> None:
    """Raises BadData for more groups than `most`."""
    if len(found) > most:
        raise BadData(f"There are more than {most} groups: too many for so many columns.")


def look_all(
    grouping: Grouping,
    spreads: Sequence[Spread],
    columns: Sequence[Column],
    frame: pl.LazyFrame,
    limit: Limits,
    *,
    width: int,
) -> tuple[Pass, ...]:
    """One pass over a part: `spreads` and the answer are by group, then by column. `width` columns together."""
    passes = [known.look(np.empty(0), limit) for known in spreads]
    start = 0
    for chosen in together(columns, width):
        names = [column.name for column in chosen]
        for batch in strips(frame, [*names, *grouping.names]):
            numbered = batch.with_columns(grouping.number())
            for piece in numbered.partition_by(GROUP, maintain_order=True):
                first = int(piece.get_column(GROUP)[0]) * len(columns) + start
                for place, name in enumerate(names, first):
                    if not spreads[place].done:
                        seen = spreads[place].look(numbers(piece.get_column(name)).finite, limit)
                        passes[place] = spread.merge([passes[place], seen], limit)
        start += len(chosen)
    return tuple(passes)


def _phase(time: pl.Expr, season: Season) -> pl.Expr:
    match season:
        case Season.HOUR_OF_DAY:
            return time.dt.hour()
        case Season.DAY_OF_WEEK:
            return time.dt.weekday()
        case Season.HOUR_OF_WEEK:
            return (time.dt.weekday().cast(pl.Int32) - 1) * 24 + time.dt.hour().cast(pl.Int32)
        case Season.MONTH_OF_YEAR:
            return time.dt.month()
