"""From the scores of columns to flagged rows: a row's score, the threshold that a share asks for, the highest rows."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors import quantiles
from gristmill.processors import values as distribution
from gristmill.processors.bounds import Bounds
from gristmill.processors.columns import Floats
from gristmill.processors.contract import ROW
from gristmill.processors.grouping import Grouped, Places
from gristmill.processors.holding import Held, gathered, joined, narrowed
from gristmill.processors.judging import PIECE_ROWS, Judge, Look, Piece, Totals, groups_of, pieces, rated, values_of
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
JOINED_AT_ONCE = 64
"""Pieces whose finds are put together at a time: one by one, all that was found before would be copied for each."""
MOST_TOP = 1_048_576
"""Rows that a share may flag for them to be found in one pass: 20 MiB."""

EXPLAINED_CELLS = 524_288
"""Scores that are worked out together for the result: there are five copies of them."""

Rows = npt.NDArray[np.uint64]
Leads = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class Counted(msgspec.Struct, frozen=True):
    """Rows flagged, and the rows with the highest scores.

    With bounds, `low` and `high` are the values outside by column and side; without, `high` are the flagged rows in
    which the column's score is the highest. `sample` are finite values of each column, of rows chosen by their number.
    `held` are the rows of `numbers` themselves.
    """

    rows: int
    flagged: int
    low: Counts
    high: Counts
    scores: Floats
    numbers: Rows
    sample: tuple[Floats, ...] = ()
    held: Held = None


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
    held: Held = None


class Ranked(msgspec.Struct, frozen=True):
    """What a pass saw of the rows' scores: the finite ones as a distribution or through a window, the infinite ones."""

    values: Values = distribution.EMPTY
    infinite: int = 0
    glimpses: tuple[Glimpse, ...] = ()


def score(place: int) -> str:
    """The column that holds the scores of the judge at this place."""
    return f"{ROW}score_{place}"


def rank(frame: pl.LazyFrame, look: Look, limit: Limits, search: Search | None) -> Ranked:
    """One pass over the rows' scores: all of them, or what a search still needs."""
    seen = ranked(np.empty(0), limit, search)
    for piece in pieces(frame, look):
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
    waiting, size, floor = [nothing(look)], 0, limit
    for piece in pieces(frame, look, limit):
        waiting.append(_counted(piece, look, limit, floor))
        size += len(waiting[-1].scores)
        if len(waiting) > JOINED_AT_ONCE or size > 2 * most + PIECE_ROWS:
            waiting = [keep(join(waiting), most)]
            size = len(waiting[0].scores)
            if size == most and most:
                floor = float(waiting[0].scores.min())
    return keep(join(waiting), most)


def _counted(piece: Piece, look: Look, limit: float, floor: float) -> Counted:
    """Rows above the floor are kept: of those at it, earlier ones were."""
    own = piece.totals.best()
    with np.errstate(invalid="ignore"):
        flagged = np.flatnonzero(own > limit)
    high = piece.high
    if look.mean:
        high = np.bincount(piece.totals.lead[flagged], minlength=len(look.judges)).astype(np.int64)
    kept = flagged if floor == limit else flagged[own[flagged] > floor]
    return Counted(
        len(own),
        len(flagged),
        piece.low,
        high,
        own[kept],
        kept.astype(np.uint64) + np.uint64(piece.first),
        tuple(piece.sample) if look.stride else (),
        None if piece.rows is None else (gathered(piece.rows, kept),),
    )


def nothing(look: Look) -> Counted:
    """Of no rows."""
    none = np.zeros(len(look.judges), dtype=np.int64)
    return Counted(0, 0, none, none, np.empty(0), np.empty(0, dtype=np.uint64), held=() if look.whole else None)


def join(parts: Sequence[Counted]) -> Counted:
    return Counted(
        sum(part.rows for part in parts),
        sum(part.flagged for part in parts),
        np.sum([part.low for part in parts], axis=0),
        np.sum([part.high for part in parts], axis=0),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        _joined([part.sample for part in parts]),
        joined([part.held for part in parts]),
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
    numbers = counted.numbers[order]
    held = narrowed(counted.held, numbers)
    return msgspec.structs.replace(counted, scores=counted.scores[order], numbers=numbers, held=held)


def top(frame: pl.LazyFrame, look: Look, most: int) -> Topped:
    """One pass: the `most` rows of the highest scores; of those that share the lowest of theirs, only some."""
    none = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32)
    waiting, size = [Topped(most, 0, 0, 0, np.empty(0), *none, held=() if look.whole else None)], 0
    floor = -math.inf
    for piece in pieces(frame, look):
        waiting.append(_topped(piece, look, most, floor))
        size += len(waiting[-1].scores)
        if size > 2 * most + PIECE_ROWS:
            waiting = [join_top(waiting)]
            size = len(waiting[0].scores)
            floor = float(waiting[0].scores.min())
    return join_top(waiting)


def _topped(piece: Piece, look: Look, most: int, floor: float) -> Topped:
    """Rows above the floor: those at it were enough before."""
    own = piece.totals.best()
    there = np.flatnonzero(~np.isnan(own))
    kept = there if floor == -math.inf else there[own[there] > floor]
    return Topped(
        most,
        len(own),
        len(there),
        int(np.count_nonzero(np.isinf(own[there]))),
        own[kept],
        kept.astype(np.uint64) + np.uint64(piece.first),
        piece.totals.lead[kept],
        tuple(piece.sample) if look.stride else (),
        None if piece.rows is None else (gathered(piece.rows, kept),),
    )


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
            joined([part.held for part in parts]),
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
    numbers = seen.numbers[kept]
    held = narrowed(seen.held, numbers)
    return msgspec.structs.replace(seen, scores=seen.scores[kept], numbers=numbers, leads=seen.leads[kept], held=held)


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
    numbers = seen.numbers[over]
    held = narrowed(seen.held, numbers)
    return limit, Counted(seen.rows, rows, none, high, seen.scores[over], numbers, seen.sample, held)


def picked(frame: pl.LazyFrame, numbers: Rows) -> pl.LazyFrame:
    """The rows of these numbers, which rise. Frames of neighbouring rows pass, so it is a look at each frame's ends."""

    def pick(morsel: pl.DataFrame) -> pl.DataFrame:
        if not morsel.height:
            return morsel
        rows = morsel.get_column(ROW).to_numpy()
        low, high = np.searchsorted(numbers, [rows[0], rows[-1] + np.uint64(1)])
        return gathered(morsel, np.searchsorted(rows, numbers[low:high]))

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
    group, totals = groups_of(rows, look), Totals(rows.height, mean=look.mean)
    own = np.full((len(look.judges), rows.height), np.nan)
    bound = np.full(rows.height, np.nan)
    for place, judge in enumerate(look.judges):
        if judge.judged:
            values = values_of(rows, judge)
            own[place] = rated(judge, values, group)
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
