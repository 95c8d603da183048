"""From the scores of columns to flagged rows: a row's score, the threshold that a share asks for, the highest rows.

Columns are judged group by group, so a wide table takes no more memory than a narrow one; what is kept of a row
meanwhile is its score so far.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import densities, quantiles
from gristmill.processors import values as distribution
from gristmill.processors.bounds import Bounds
from gristmill.processors.columns import Floats, strips, together
from gristmill.processors.contract import ROW
from gristmill.processors.crew import Crew
from gristmill.processors.densities import Density
from gristmill.processors.grouping import GROUP, Grouped, Grouping, Places
from gristmill.processors.quantiles import Glimpse, Search
from gristmill.processors.values import Limits, Values

BEST = f"{ROW}best"
LEAD = f"{ROW}lead"
BOUND = f"{ROW}bound"
SCORES = f"{ROW}scores"
MOST_FIELDS = 1000
"""Columns up to which each has a field for its score. A file keeps some 3 kB in mind for each field and row group while
it is written: 660 MiB for 2,000 columns and as many scores.
"""
PIECE_ROWS = 32_768
"""Rows that one thread judges at a time: what is made of a column of them stays in the cache."""
SAMPLED = 65_536
SAMPLED_ALL = 2_097_152
"""Values of one column, and of all, from which masking is told: 16 MiB."""
MOST_TOP = 1_048_576
"""Rows that a share may flag for them to be found in one pass: 20 MiB."""

EXPLAINED_CELLS = 524_288
"""Scores that are worked out together for the result: there are five copies of them."""

Judge = Bounds | Grouped | Density
Rows = npt.NDArray[np.uint64]
Leads = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class Look(msgspec.Struct, frozen=True):
    """How rows are judged: by whom, and whether a row's score is the mean of its columns', not the highest.

    `width` columns are looked at together. One row of `stride` is taken for the sample of values; 0: none is.
    """

    judges: tuple[Judge, ...]
    columns: tuple[Column, ...]
    grouping: Grouping | None
    mean: bool
    width: int
    stride: int = 0

    @property
    def groups(self) -> list[tuple[Column, ...]]:
        judged = {judge.column for judge in self.judges if judge.judged}
        return together([column for column in self.columns if column.name in judged], self.width)


class Counted(msgspec.Struct, frozen=True):
    """Rows flagged, and the rows with the highest scores.

    With bounds, `low` and `high` are the values outside by column and side; without, `high` are the flagged rows in
    which the column's score is the highest. `sample` are finite values of each column, of rows chosen by their number.
    """

    rows: int
    flagged: int
    low: Counts
    high: Counts
    scores: Floats
    numbers: Rows
    sample: tuple[Floats, ...] = ()


class Topped(msgspec.Struct, frozen=True):
    """The rows of the highest scores, in no order: at least as many as the share that may be flagged, and one more.

    `scored` rows have a score, `infinite` ones an infinite one.
    """

    most: int
    rows: int
    scored: int
    infinite: int
    scores: Floats
    numbers: Rows
    leads: Leads
    sample: tuple[Floats, ...] = ()


class Ranked(msgspec.Struct, frozen=True):
    """What a pass saw of the rows' scores: the finite ones as a distribution or through a window, the infinite ones."""

    values: Values = distribution.EMPTY
    infinite: int = 0
    glimpses: tuple[Glimpse, ...] = ()


def score(place: int) -> str:
    """The column that holds the scores of the judge at this place."""
    return f"{ROW}score_{place}"


class _Totals:
    """The scores of some rows while column after column is judged: the highest and whose it is, and their sum."""

    def __init__(self, rows: int, *, mean: bool) -> None:
        self._highest = np.full(rows, -np.inf)
        self.lead = np.zeros(rows, dtype=np.int32)
        self._sum = np.zeros(rows) if mean else None
        self._there = np.zeros(rows) if mean else None

    def add(self, place: int, scores: Floats) -> None:
        """NaN: the value is not judged. Of equal scores the first leads."""
        higher = scores > self._highest
        np.copyto(self._highest, scores, where=higher)
        self.lead[higher] = place
        if self._sum is not None and self._there is not None:
            there = ~np.isnan(scores)
            np.add(self._sum, scores, out=self._sum, where=there)
            self._there += there

    def best(self) -> Floats:
        """The rows' scores; NaN where nothing was judged."""
        if self._sum is None or self._there is None:
            return np.where(self._highest == -np.inf, np.nan, self._highest)
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sum / self._there)


class _Piece:
    """Some neighbouring rows, judged on one thread at a time."""

    def __init__(self, look: Look, first: int, start: int, height: int, limit: float | None) -> None:
        self._look = look
        self._limit = limit
        self.first = first + start
        self._start = start
        self._height = height
        self.totals = _Totals(height, mean=look.mean)
        self.low = np.zeros(len(look.judges), dtype=np.int64)
        self.high = np.zeros(len(look.judges), dtype=np.int64)
        self.sample: list[Floats] = [np.empty(0)] * len(look.judges)
        self._chosen = _chosen(self.first, height, look.stride) if look.stride > 1 else None

    def take(self, batch: pl.DataFrame, places: Sequence[int]) -> None:
        """Judge the columns of these judges."""
        rows = batch[self._start : self._start + self._height]
        group = _group(rows, self._look)
        for place in places:
            judge = self._look.judges[place]
            values = _values(rows, judge)
            if self._look.stride:
                some = values if self._chosen is None else values[self._chosen]
                self.sample[place] = some[np.isfinite(some)]
            found = _rated(judge, values, group)
            self.totals.add(place, found)
            if self._limit is not None and isinstance(judge, Bounds | Grouped):
                outside = np.flatnonzero(found > self._limit)
                beneath = _beneath(judge, values[outside], group[outside]) if len(outside) else outside
                self.low[place] = np.count_nonzero(beneath)
                self.high[place] = len(outside) - self.low[place]


def _values(rows: pl.DataFrame, judge: Judge) -> Floats:
    """NaN for a null."""
    return rows.get_column(judge.column).alias("x").cast(pl.Float64).to_numpy()


def _group(rows: pl.DataFrame, look: Look) -> Places:
    if look.grouping is None:
        return np.zeros(rows.height, dtype=np.uint32)
    return rows.select(look.grouping.number()).get_column(GROUP).fill_null(0).to_numpy()


def _beneath(judge: Bounds | Grouped, values: Floats, group: Places) -> npt.NDArray[np.bool_]:
    return judge.beneath(values) if isinstance(judge, Bounds) else judge.beneath(values, group)


def _rated(judge: Judge, values: Floats, group: Places) -> Floats:
    if isinstance(judge, Bounds):
        return judge.rate(values)
    if isinstance(judge, Grouped):
        return judge.rate(values, group)
    return densities.scores(judge, values)


def _chosen(first: int, height: int, stride: int) -> npt.NDArray[np.intp]:
    """Of so many rows from a number on, the places of one of `stride`, by a hash of their numbers (SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = np.arange(first + 1, first + height + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.flatnonzero((mixed ^ (mixed >> np.uint64(31))) % np.uint64(stride) == 0)


def stride_of(rows: int, columns: int) -> int:
    """One row of so many is sampled, of a dataset of so many rows and columns that are judged."""
    most = max(256, min(SAMPLED, SAMPLED_ALL // max(1, columns)))
    return max(1, -(-rows // most))


def _pieces(frame: pl.LazyFrame, look: Look, limit: float | None = None) -> Iterator[_Piece]:
    """The rows of a part, judged, in their order."""
    places = {judge.column: place for place, judge in enumerate(look.judges)}
    groups, by = look.groups, look.grouping.names if look.grouping is not None else ()
    held: list[list[_Piece]] = []
    with Crew() as crew:
        for at, group in enumerate(groups):
            chosen = [places[column.name] for column in group]
            for ordinal, batch in enumerate(strips(frame, [*(column.name for column in group), *by])):
                if not at:
                    held.append(_cut(batch, look, limit))
                pieces = held[ordinal]
                crew.do([partial(piece.take, batch, chosen) for piece in pieces], rows=batch.height)
                if at == len(groups) - 1:
                    held[ordinal] = []
                    yield from pieces


def _cut(batch: pl.DataFrame, look: Look, limit: float | None) -> list[_Piece]:
    first = int(batch.get_column(ROW)[0]) if batch.height else 0
    starts = range(0, batch.height, PIECE_ROWS)
    return [_Piece(look, first, start, min(PIECE_ROWS, batch.height - start), limit) for start in starts]


def rank(frame: pl.LazyFrame, look: Look, limit: Limits, search: Search | None) -> Ranked:
    """One pass over the rows' scores: all of them, or what a search still needs."""
    seen = ranked(np.empty(0), limit, search)
    for piece in _pieces(frame, look):
        own = piece.totals.best()
        seen = merge([seen, ranked(own[~np.isnan(own)], limit, search)], limit)
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


def count(frame: pl.LazyFrame, look: Look, limit: float, most: int) -> Counted:
    """One pass: what lies outside, by column, and the highest scores."""
    seen = nothing(len(look.judges))
    for piece in _pieces(frame, look, limit):
        own = piece.totals.best()
        with np.errstate(invalid="ignore"):
            flagged = np.flatnonzero(own > limit)
        high = piece.high
        if look.mean:
            high = np.bincount(piece.totals.lead[flagged], minlength=len(look.judges)).astype(np.int64)
        numbers = flagged.astype(np.uint64) + np.uint64(piece.first)
        sample = tuple(piece.sample) if look.stride else ()
        found = Counted(len(own), len(flagged), piece.low, high, own[flagged], numbers, sample)
        seen = keep(join([seen, found]), most)
    return seen


def nothing(judges: int) -> Counted:
    """Of no rows."""
    none = np.zeros(judges, dtype=np.int64)
    return Counted(0, 0, none, none, np.empty(0), np.empty(0, dtype=np.uint64))


def join(parts: Sequence[Counted]) -> Counted:
    return Counted(
        sum(part.rows for part in parts),
        sum(part.flagged for part in parts),
        np.sum([part.low for part in parts], axis=0),
        np.sum([part.high for part in parts], axis=0),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        _joined([part.sample for part in parts]),
    )


def _joined(samples: Sequence[tuple[Floats, ...]]) -> tuple[Floats, ...]:
    there = [sample for sample in samples if sample]
    if len(there) < 2:
        return there[0] if there else ()
    return tuple(np.concatenate(column) for column in zip(*there, strict=True))


def keep(counted: Counted, most: int) -> Counted:
    """Only the `most` highest scores; of equal ones, the earlier rows."""
    if len(counted.scores) <= most:
        return counted
    order = np.lexsort((counted.numbers, -counted.scores))[:most]
    return msgspec.structs.replace(counted, scores=counted.scores[order], numbers=counted.numbers[order])


def top(frame: pl.LazyFrame, look: Look, most: int) -> Topped:
    """One pass: the `most` rows of the highest scores; of those that share the lowest of theirs, only some."""
    none = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32)
    waiting, size = [Topped(most, 0, 0, 0, np.empty(0), *none)], 0
    for piece in _pieces(frame, look):
        own = piece.totals.best()
        there = np.flatnonzero(~np.isnan(own))
        best = own[there]
        infinite = int(np.count_nonzero(np.isinf(best)))
        numbers = there.astype(np.uint64) + np.uint64(piece.first)
        sample = tuple(piece.sample) if look.stride else ()
        found = Topped(most, len(own), len(there), infinite, best, numbers, piece.totals.lead[there], sample)
        waiting.append(found)
        size += len(there)
        if size > 2 * most + PIECE_ROWS:
            waiting, size = [join_top(waiting)], most
    return join_top(waiting)


def join_top(parts: Sequence[Topped]) -> Topped:
    """Of neighbouring rows."""
    return _topmost(
        Topped(
            parts[0].most,
            sum(part.rows for part in parts),
            sum(part.scored for part in parts),
            sum(part.infinite for part in parts),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.leads for part in parts]),
            _joined([part.sample for part in parts]),
        )
    )


def _topmost(seen: Topped) -> Topped:
    surplus = len(seen.scores) - seen.most
    if surplus <= 0:
        return seen
    lowest = np.partition(seen.scores, surplus)[surplus]
    # Those that share the lowest are never flagged, but one of them is enough to know it.
    kept = seen.scores > lowest
    kept[np.flatnonzero(seen.scores == lowest)[: seen.most - int(np.count_nonzero(kept))]] = True
    return msgspec.structs.replace(seen, scores=seen.scores[kept], numbers=seen.numbers[kept], leads=seen.leads[kept])


def most_top(share: float, rows: int) -> int | None:
    """How many rows have to be kept for a share of so many to be found in one pass; None: too many."""
    most = math.floor(share * rows) + 1
    return most if most <= MOST_TOP else None


def flagged(seen: Topped, share: float, judges: int) -> tuple[float, Counted] | None:
    """The threshold, as `threshold` has it, and the rows above it.

    None where more scores are infinite than the share has room for: all of them are flagged, and not all are kept.
    """
    place = math.floor(share * seen.scored)
    if seen.infinite > place:
        return None
    limit = float(np.sort(seen.scores)[::-1][place]) if seen.scored else -math.inf
    over = seen.scores > limit
    high = np.bincount(seen.leads[over], minlength=judges).astype(np.int64)
    none = np.zeros(judges, dtype=np.int64)
    rows = int(np.count_nonzero(over))
    return limit, Counted(seen.rows, rows, none, high, seen.scores[over], seen.numbers[over], seen.sample)


def picked(frame: pl.LazyFrame, numbers: Rows) -> pl.LazyFrame:
    """The rows of these numbers, which rise. Frames of neighbouring rows pass, so it is a look at each frame's ends."""

    def pick(morsel: pl.DataFrame) -> pl.DataFrame:
        if not morsel.height:
            return morsel
        rows = morsel.get_column(ROW).to_numpy()
        low, high = np.searchsorted(numbers, [rows[0], rows[-1] + np.uint64(1)])
        return morsel[np.searchsorted(rows, numbers[low:high])]

    return frame.map_batches(pick, streamable=True)


def explained(frame: pl.LazyFrame, look: Look, limit: float) -> pl.LazyFrame:
    """With the row's score (`BEST`), the column that leads (`LEAD`), the bound that it crossed (`BOUND`), and a score
    for each column (`score(place)`; of more than `MOST_FIELDS` all in `SCORES`); null where there is none.
    """
    schema = frame.collect_schema()
    made: dict[str, pl.DataType] = {BEST: pl.Float64(), LEAD: pl.String(), BOUND: pl.Float64()}
    if len(look.judges) > MOST_FIELDS:
        made[SCORES] = pl.List(pl.Float64())
    else:
        made |= {score(place): pl.Float64() for place in range(len(look.judges))}

    step = max(64, EXPLAINED_CELLS // max(1, len(look.judges)))

    def explain(rows: pl.DataFrame) -> pl.DataFrame:
        cut = [rows[start : start + step] for start in range(0, max(1, rows.height), step)]
        found = [pl.DataFrame(_explanation(some, look, limit)) for some in cut]
        return rows.hstack(pl.concat(found, rechunk=True))

    return frame.map_batches(explain, schema=pl.Schema({**schema, **made}), streamable=True)


def _explanation(rows: pl.DataFrame, look: Look, limit: float) -> list[pl.Series]:
    group, totals = _group(rows, look), _Totals(rows.height, mean=look.mean)
    own = np.full((len(look.judges), rows.height), np.nan)
    bound = np.full(rows.height, np.nan)
    for place, judge in enumerate(look.judges):
        if judge.judged:
            values = _values(rows, judge)
            own[place] = _rated(judge, values, group)
            totals.add(place, own[place])
            led = np.flatnonzero(totals.lead == place)
            bound[led] = _crossed(judge, values[led], group[led], limit)
    names = pl.Series([judge.column for judge in look.judges], dtype=pl.String)
    lead = names.gather(totals.lead) if rows.height else names.clear()
    best = pl.Series(BEST, totals.best(), nan_to_null=True)
    found = [best, lead.alias(LEAD), pl.Series(BOUND, bound, nan_to_null=True)]
    if len(look.judges) <= MOST_FIELDS:
        return [*found, *(pl.Series(score(place), column, nan_to_null=True) for place, column in enumerate(own))]
    flat = pl.Series(SCORES, own.T.ravel(), nan_to_null=True)
    return [*found, flat.reshape((rows.height, len(own))).cast(pl.List(pl.Float64))]


def _crossed(judge: Judge, values: Floats, group: Places, limit: float) -> Floats:
    if isinstance(judge, Bounds):
        return judge.crossed(values, limit)
    if isinstance(judge, Grouped):
        return judge.crossed(values, group, limit)
    return np.full(len(values), np.nan)
