"""Rows judged by the rows before them: mean and standard deviation of a window that ends just before each row.

A row's history is that of its group, in the order of time and, at equal times, of rows. Its moments are made of blocks
of 1, 2, 4 … values counted back from the row, so they depend on the values in the window alone, and not on where the
rows were cut into batches and parts.

Rows in the order of time take one pass: neighbouring stretches are joined by judging the first rows of the later one
with the last rows of the earlier one. Rows in any other order are brought into it range by range: each pass over the
dataset collects the rows of one range of time, as many as memory allows, sorts them and judges them.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.errors import BadData
from gristmill.processors import tallies, values
from gristmill.processors.columns import Floats, batches, exactly
from gristmill.processors.contract import ROW
from gristmill.processors.grouping import GROUP, Grouping
from gristmill.processors.tallies import Goal, Scored, Tally
from gristmill.processors.values import Values

TIME = f"{ROW}time"
MOST_CELLS = 8_388_608
"""Cells of rows that are held at once: 64 MiB."""
BELOW, ABOVE, VALUES, SHORT, FLAT = range(5)
"""The kinds of counts of a tally."""
_SHAPE = values.limits(1)

Places = npt.NDArray[np.int64]


class Window(msgspec.Struct, frozen=True):
    """The last `rows` rows, or those of the last `span` units of the time column; `least` values at the least."""

    time: str
    said: str
    least: int
    rows: int | None = None
    span: int = 0


class Order(msgspec.Struct, frozen=True):
    """What a look at the times showed: whether they never fall, how they lie, and the rows that have none."""

    ordered: bool = True
    first: int | None = None
    last: int | None = None
    timeless: int = 0
    times: Values = values.EMPTY


class Segment(msgspec.Struct, frozen=True):
    """A stretch of rows in order: `head` waits for the rows before it, `tail` is the history of those after it."""

    first: int | None
    head: pl.DataFrame
    tail: pl.DataFrame
    seen: Tally


class Rolling(msgspec.Struct, frozen=True, tag="rolling"):
    """How far it is. `cuts` are the inner ends of the ranges of time, once the order is known; `at` is the next."""

    window: Window
    order: Order | None = None
    cuts: tuple[float, ...] = ()
    at: int = 0
    so_far: Segment | None = None

    @property
    def in_order(self) -> bool:
        return self.order is not None and self.order.ordered

    @property
    def last(self) -> bool:
        return self.in_order or self.at == len(self.cuts)


def look_at_times(frame: pl.LazyFrame, window: Window) -> Order:
    """The order of one part."""
    seen = Order()
    for batch in batches(frame, [window.time]):
        column = batch.select(_time(window)).get_column(TIME)
        times = column.drop_nulls().to_numpy()
        ordered = bool((times[1:] >= times[:-1]).all())
        first, last = (int(times[0]), int(times[-1])) if len(times) else (None, None)
        tallied = values.tally(times.astype(np.float64))
        seen = merge_orders([seen, Order(ordered, first, last, column.null_count(), tallied)])
    return seen


def merge_orders(parts: Sequence[Order]) -> Order:
    firsts = [part.first for part in parts if part.first is not None]
    lasts = [part.last for part in parts if part.last is not None]
    rising = all(last <= first for last, first in zip(lasts[:-1], firsts[1:], strict=True))
    return Order(
        ordered=rising and all(part.ordered for part in parts),
        first=firsts[0] if firsts else None,
        last=lasts[-1] if lasts else None,
        timeless=sum(part.timeless for part in parts),
        times=values.merge([part.times for part in parts], _SHAPE),
    )


def settled(rolling: Rolling, order: Order, columns: int) -> Rolling:
    """With the ranges that rows out of order are taken in."""
    ranges = 1 if order.ordered else -(-2 * order.times.count * (columns + 3) // MOST_CELLS)
    cuts: list[float] = []
    if ranges > 1:
        cuts = sorted({float(cut) for cut in order.times.linear(np.arange(1, ranges) / ranges)})
    order = msgspec.structs.replace(order, times=values.EMPTY)
    return msgspec.structs.replace(rolling, order=order, cuts=tuple(cuts))


def look(frame: pl.LazyFrame, rolling: Rolling, grouping: Grouping | None, goal: Goal) -> Segment:
    """One part in the order of time."""
    found = _segment(rolling.window, goal, _schema(goal))
    for rows in _prepared(frame, rolling.window, grouping, goal):
        found = join([found, _segment(rolling.window, goal, rows)], rolling.window, goal)
    return found


def collect(frame: pl.LazyFrame, rolling: Rolling, grouping: Grouping | None, goal: Goal) -> pl.DataFrame:
    """The rows of one part in the range of this pass. Raises BadData when they are too many to hold."""
    low = rolling.cuts[rolling.at - 1] if rolling.at else -np.inf
    high = rolling.cuts[rolling.at] if rolling.at < len(rolling.cuts) else np.inf
    time = _time(rolling.window).cast(pl.Float64)
    held = [_schema(goal)]
    for rows in _prepared(frame.filter((time >= low) & (time < high)), rolling.window, grouping, goal):
        held.append(rows)
        _bounded(sum(map(len, held)), goal, "Too many rows have nearly the same time")
    return pl.concat(held)


def join_rows(parts: Sequence[pl.DataFrame], goal: Goal) -> pl.DataFrame:
    _bounded(sum(map(len, parts)), goal, "Too many rows have nearly the same time")
    return pl.concat(parts)


def advance(rolling: Rolling, rows: pl.DataFrame, goal: Goal) -> Segment:
    """The ranges so far and this one."""
    found = _segment(rolling.window, goal, rows.sort(TIME, ROW))
    return found if rolling.so_far is None else join([rolling.so_far, found], rolling.window, goal)


def close(segment: Segment, window: Window, goal: Goal) -> Tally:
    """All rows judged: nothing comes before the head."""
    seen, _ = _judge(window, goal, segment.head, fresh=0, first=None)
    return tallies.merge([segment.seen, seen], goal.limit, goal.most)


def join(parts: Sequence[Segment], window: Window, goal: Goal) -> Segment:
    """Neighbouring stretches, in their order."""
    joined = parts[0]
    for later in parts[1:]:
        if joined.first is None or later.first is None:
            ends = joined if later.first is None else later
            seen = tallies.merge([joined.seen, later.seen], goal.limit, goal.most)
            joined = msgspec.structs.replace(ends, seen=seen)
            continue
        rows = pl.concat([joined.tail, later.head])
        seen, waiting = _judge(window, goal, rows, fresh=joined.tail.height, first=joined.first)
        head = pl.concat([joined.head, waiting])
        tail = _tail(window, pl.concat([joined.tail, later.tail]))
        _bounded(max(head.height, tail.height), goal, "The window holds too many rows, over all groups")
        seen = tallies.merge([joined.seen, later.seen, seen], goal.limit, goal.most)
        joined = Segment(joined.first, head, tail, seen)
    return joined


def past(column: Floats, begin: Places, end: Places) -> tuple[Floats, Floats, Floats]:
    """Count, mean and sum of squared distances of the finite values of each `column[begin:end]`.

    Merged by Chan, Golub and LeVeque (1979) from blocks of 1, 2, 4 … values, the nearest to `end` first.
    """
    there = np.isfinite(column)
    block = (there.astype(np.float64), np.where(there, column, 0.0), np.zeros(len(column)))
    length, at = end - begin, end.copy()
    made = (np.zeros(len(end)), np.zeros(len(end)), np.zeros(len(end)))
    size = 1
    while (longer := length >= size).any():
        taking = np.flatnonzero(longer & (length & size > 0))
        at[taking] -= size
        earlier = tuple(figure[at[taking]] for figure in block)
        for whole, part in zip(made, _merged(earlier, tuple(figure[taking] for figure in made)), strict=True):
            whole[taking] = part
        left, right = (tuple(figure[side] for figure in block) for side in (slice(None, -size), slice(size, None)))
        block = _merged(left, right)
        size *= 2
    return made


def _merged(left: tuple[Floats, ...], right: tuple[Floats, ...]) -> tuple[Floats, Floats, Floats]:
    count = left[0] + right[0]
    share = right[0] / np.maximum(count, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.where((left[0] > 0) & (right[0] > 0), right[1] - left[1], 0.0)
        mean = np.where(left[0] > 0, left[1] + apart * share, right[1])
        return count, mean, left[2] + right[2] + apart * apart * left[0] * share


def _segment(window: Window, goal: Goal, rows: pl.DataFrame) -> Segment:
    """Rows in order, judged as far as their history is among them."""
    first = int(rows.get_column(TIME)[0]) if rows.height else None
    seen, waiting = _judge(window, goal, rows, fresh=0, first=first)
    return Segment(first, waiting, _tail(window, rows), seen)


def _judge(
    window: Window, goal: Goal, rows: pl.DataFrame, *, fresh: int, first: int | None
) -> tuple[Tally, pl.DataFrame]:
    """Judge the rows from `fresh` on whose history is whole, and give back the others.

    The rows know of all that came since the time `first`; None: since the beginning, so every history is whole.
    """
    group = rows.get_column(GROUP).to_numpy()
    order = np.argsort(group, kind="stable")
    time = rows.get_column(TIME).to_numpy()[order]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    begin, end, place = _histories(window, time, starts)
    whole = place >= window.rows if window.rows is not None else time - window.span > (first or 0)
    ready = (order >= fresh) & (whole | (first is None))
    # Back into the order of rows.
    chosen = np.flatnonzero(ready)[np.argsort(order[ready])]
    at = order[chosen]
    shape = (len(chosen), len(goal.columns))
    scores, means, stds = np.full(shape, np.nan), np.empty(shape), np.empty(shape)
    counts = np.zeros((5, len(goal.columns)), dtype=np.int64)
    for number in range(len(goal.columns)):
        column = rows.get_column(f"{ROW}{number}").to_numpy()
        figures = past(column[order], begin[chosen], end[chosen])
        scores[:, number], counts[:, number] = _rate(column[at], figures, window.least, goal.threshold)
        means[:, number] = figures[1]
        stds[:, number] = _std(figures)
    scored = _scored(goal, rows, at, scores, means=means, stds=stds)
    seen = tallies.tally(goal, scored, rows=len(chosen), counts=counts)
    left = np.sort(order[(order >= fresh) & ~ready])
    return seen, rows[left]


def _scored(goal: Goal, rows: pl.DataFrame, at: Places, scores: Floats, *, means: Floats, stds: Floats) -> Scored:
    known = np.where(np.isnan(scores), -1.0, scores)
    lead = known.argmax(axis=1) if scores.size else np.zeros(0, dtype=np.int64)
    line = np.arange(len(lead))
    best = scores[line, lead]
    mean, std = means[line, lead], stds[line, lead]
    own = np.column_stack([rows.get_column(f"{ROW}{number}").to_numpy()[at] for number in range(len(goal.columns))])
    side = np.where(own[line, lead] < mean, -1.0, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        bound = mean + side * (goal.threshold or 0.0) * std
    return Scored(rows.get_column(ROW).to_numpy()[at], best, scores, lead.astype(np.int32), bound)


def _std(figures: tuple[Floats, Floats, Floats]) -> Floats:
    """Sample standard deviation (ddof 1) of each window."""
    std: Floats = np.sqrt(figures[2] / np.maximum(figures[0] - 1, 1.0))
    return std


def _rate(
    column: Floats, figures: tuple[Floats, Floats, Floats], least: int, threshold: float | None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Scores, NaN where a value is not judged; and how many values are below, above, of any kind, unjudged and why."""
    std = _std(figures)
    there = ~np.isnan(column)
    short = there & (figures[0] < least)
    flat = there & ~short & ~((std > 0) & np.isfinite(std) & np.isfinite(figures[1]))
    judged = there & ~short & ~flat
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scores = np.where(judged, np.abs(column - figures[1]) / std, np.nan)
        outside = judged & (scores > (np.inf if threshold is None else threshold))
        below = outside & (column < figures[1])
    counts = [below.sum(), outside.sum() - below.sum(), there.sum(), short.sum(), flat.sum()]
    return scores, np.array(counts, dtype=np.int64)


def _histories(window: Window, time: Places, starts: Places) -> tuple[Places, Places, Places]:
    """Where the history of each row begins and ends, and the row's place in its group. Rows are by group, then time."""
    here = np.arange(len(time))
    lengths = np.diff(starts, append=len(time))
    place = here - np.repeat(starts, lengths)
    if window.rows is not None:
        return here - np.minimum(place, window.rows), here, place
    begin, end = np.empty_like(here), np.empty_like(here)
    for start, length in zip(starts, lengths, strict=True):
        own = time[start : start + length]
        begin[start : start + length] = start + np.searchsorted(own, own - window.span, side="left")
        end[start : start + length] = start + np.searchsorted(own, own, side="left")
    return begin, end, place


def _tail(window: Window, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that later ones may look back to."""
    if not rows.height:
        return rows
    if window.rows is None:
        return rows.filter(pl.col(TIME) >= rows.get_column(TIME)[-1] - window.span)
    return rows.filter(pl.int_range(pl.len(), dtype=pl.Int64).reverse().over(GROUP) < window.rows)


def _prepared(frame: pl.LazyFrame, window: Window, grouping: Grouping | None, goal: Goal) -> Iterator[pl.DataFrame]:
    """Batches of rows with a time, by their number, group, time and numbers, NaN where there is none."""
    group = pl.lit(0, dtype=pl.UInt32).alias(GROUP) if grouping is None else grouping.number()
    numbers = [
        exactly(name).cast(pl.Float64).fill_null(np.nan).alias(f"{ROW}{place}")
        for place, name in enumerate(goal.columns)
    ]
    names = [*goal.columns, window.time, *(grouping.names if grouping is not None else ())]
    for batch in batches(frame, names):
        yield batch.select(ROW, group, _time(window), *numbers).filter(pl.col(TIME).is_not_null())


def _schema(goal: Goal) -> pl.DataFrame:
    numbers = {f"{ROW}{place}": pl.Float64 for place in range(len(goal.columns))}
    return pl.DataFrame(schema={ROW: pl.UInt64, GROUP: pl.UInt32, TIME: pl.Int64, **numbers})


def _time(window: Window) -> pl.Expr:
    return exactly(window.time).to_physical().cast(pl.Int64).alias(TIME)


def _bounded(rows: int, goal: Goal, what: str) -> None:
    if rows * (len(goal.columns) + 3) > MOST_CELLS:
        raise BadData(f"{what}: more than {MOST_CELLS // (len(goal.columns) + 3)}.")
