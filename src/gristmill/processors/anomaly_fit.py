"""How the kind `anomalies` is fitted: what each pass must look for, and what is known after it."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import densities, flagging, forest, grouping, rolling, spread, tallies, values
from gristmill.processors.anomaly_params import CONTAMINATION
from gristmill.processors.bounds import Method, bounds
from gristmill.processors.columns import Floats, together
from gristmill.processors.contract import Again, Planned, PlannedStep
from gristmill.processors.densities import Counts, Grid
from gristmill.processors.flagging import Counted, Ranked, Rows, Topped
from gristmill.processors.forest import Forest, Sample
from gristmill.processors.grouping import Grouped, Grouping
from gristmill.processors.holding import narrowed
from gristmill.processors.judging import Judge, Look, stride_of
from gristmill.processors.quantiles import Search
from gristmill.processors.rolling import Order, Rolling, Segment, Window
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.tallies import Goal, Tally
from gristmill.processors.values import Limits


class Plan(Planned, frozen=True, kw_only=True):
    """What is known, in the order it is found: the groups' keys, `spreads`, `grids` for `hbos`, `judges`, `threshold`.

    Then rows are counted. `spreads` are by group, then by column. `search` is the threshold's, while it is looked for.
    `own` is how far a method is that judges rows as a whole; it has neither spreads nor judges. `rows` are those of the
    dataset, once the columns are known, and `every` its columns. With `top`, so many rows of the highest scores tell
    the threshold.
    """

    columns: tuple[Column, ...]
    every: tuple[Column, ...]
    method: Method
    threshold: float | None
    contamination: float | None
    bins: int | None
    limit_rows: int
    limit: Limits
    spreads: tuple[Spread, ...]
    grouping: Grouping | None = None
    grids: tuple[Grid, ...] = ()
    judges: tuple[Judge, ...] = ()
    search: Search | None = None
    own: Rolling | Forest | None = None
    rows: int = 0
    top: int | None = None

    @property
    def looks(self) -> int:
        if self.own is not None or (self.grouping is not None and self.grouping.keys is None):
            return 1
        if self.judges:
            return len(self.look.groups)
        open_ = self.columns if self.grids or self.grouping else spread.still_open(self.spreads, self.columns)
        return len(together(open_, self.width))

    @property
    def look(self) -> Look:
        """How the judges look at rows."""
        stride = stride_of(self.rows, len(self.columns)) if self.grouping is None else 0
        return Look(self.judges, self.columns, self.grouping, self.mean, self.width, stride, self._whole)

    @property
    def _whole(self) -> tuple[str, ...]:
        """The columns of rows that are held on to; none where not all columns are looked at together."""
        settled = self.threshold is not None or self.top is not None
        return self.names if settled and len(together(self.every, self.width)) == 1 else ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.every)

    def outline(self) -> tuple[PlannedStep, ...]:
        return (PlannedStep(self.method.value, tuple(column.name for column in self.columns)),)

    @property
    def mean(self) -> bool:
        """Whether a row's score is the mean of its columns', not the highest."""
        return not self.method.bounded

    @property
    def most_groups(self) -> int:
        return grouping.MOST_CELLS // len(self.columns)

    @property
    def goal(self) -> Goal:
        most = tallies.most_rows(self.limit_rows, len(self.columns))
        return Goal(tuple(column.name for column in self.columns), self.threshold, self.search, self.limit, most)


class State(msgspec.Struct, frozen=True):
    """What one pass saw; which field is filled depends on what the plan still lacks."""

    limit: Limits
    limit_rows: int
    keys: tuple[str, ...] | None = None
    most_groups: int = 0
    passes: tuple[Pass, ...] = ()
    bins: tuple[Counts, ...] = ()
    ranked: Ranked | None = None
    counted: Counted | None = None
    topped: Topped | None = None
    own: "Own | None" = None
    rows: int = 0


class Own(msgspec.Struct, frozen=True):
    """What one pass of a method that judges whole rows saw, and what merging needs to know of the plan."""

    goal: Goal
    window: Window | None = None
    most: int = 0
    order: Order | None = None
    rows: pl.DataFrame | None = None
    segment: Segment | None = None
    sample: Sample | None = None
    tally: Tally | None = None


class Fitted(msgspec.Struct, frozen=True):
    """Of the flagged rows, those of these `numbers`, which rise, are in the result. `sample` are values of each column.

    A method that judges whole rows has a `tally` instead of judges: its table holds the rows that are in the result.
    Other methods may have `held` on to them.
    """

    judges: tuple[Judge, ...]
    threshold: float
    rows: int
    flagged: int
    kept: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    numbers: Rows = msgspec.field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    sample: tuple[Floats, ...] = ()
    tally: Tally | None = None
    held: pl.DataFrame | None = None


def wanted(method: Method, *, grouped: bool) -> Spread:
    """What must be known of a column. The shape of a group's tells of masking; of all rows, a sample does."""
    match method:
        case Method.MODIFIED_ZSCORE | Method.SEASONAL:
            return Spread(mad=True, shape=grouped)
        case Method.IQR:
            return Spread(fractions=(0.25, 0.75), shape=grouped)
        case Method.COPOD | Method.ECOD:
            return Spread(shape=True)
        case _:
            return Spread(shape=grouped)


def look(frame: pl.LazyFrame, plan: Plan, own: Rolling | Forest) -> Own:
    """One pass over a part, of a method that judges whole rows."""
    if isinstance(own, Rolling):
        seen = Own(plan.goal, window=own.window)
    else:
        seen = Own(plan.goal, most=forest.pool_rows(own, len(plan.columns)))
    match own:
        case Rolling(order=None):
            return msgspec.structs.replace(seen, order=rolling.look_at_times(frame, own.window))
        case Rolling() if own.in_order:
            return msgspec.structs.replace(seen, segment=rolling.look(frame, own, plan.grouping, plan.goal))
        case Rolling():
            return msgspec.structs.replace(seen, rows=rolling.collect(frame, own, plan.grouping, plan.goal))
        case Forest() if own.grown:
            return msgspec.structs.replace(seen, tally=forest.judge(frame, own, plan.goal))
        case Forest():
            return msgspec.structs.replace(seen, sample=forest.sample(frame, own, plan.goal.columns))


def join(states: Sequence[Own]) -> Own:
    """Parts of one pass, in their order."""
    goal, window, most = states[0].goal, states[0].window, states[0].most
    replace = msgspec.structs.replace
    segments = [state.segment for state in states if state.segment is not None]
    if segments and window is not None:
        return replace(states[0], segment=rolling.join(segments, window, goal))
    if rows := [state.rows for state in states if state.rows is not None]:
        return replace(states[0], rows=rolling.join_rows(rows, goal))
    if orders := [state.order for state in states if state.order is not None]:
        return replace(states[0], order=rolling.merge_orders(orders))
    if samples := [state.sample for state in states if state.sample is not None]:
        return replace(states[0], sample=forest.merge(samples, most))
    seen = [state.tally for state in states if state.tally is not None]
    return replace(states[0], tally=tallies.merge(seen, goal.limit, goal.most))


def learned(plan: Plan, seen: Own) -> Fitted | Again[Plan]:
    """What is known after a pass of a method that judges whole rows."""
    own, goal = plan.own, plan.goal
    if isinstance(own, Forest):
        if seen.sample is not None:
            return Again(msgspec.structs.replace(plan, own=forest.grow(own, seen.sample)))
        return _settled(plan, seen.tally)
    if not isinstance(own, Rolling):
        return _settled(plan, None)
    if seen.order is not None:
        return Again(msgspec.structs.replace(plan, own=rolling.settled(own, seen.order, len(plan.columns))))
    segment = seen.segment if seen.rows is None else rolling.advance(own, seen.rows, goal)
    if not own.last:
        return Again(msgspec.structs.replace(plan, own=msgspec.structs.replace(own, at=own.at + 1, so_far=segment)))
    again = msgspec.structs.replace(plan, own=msgspec.structs.replace(own, at=0, so_far=None))
    return _settled(again, None if segment is None else rolling.close(segment, own.window, goal))


def _settled(plan: Plan, seen: Tally | None) -> Fitted | Again[Plan]:
    """All rows are judged: the threshold is nearer or found, or the rows are."""
    if seen is None:
        raise TypeError(f"a pass of {plan.method} saw nothing")
    if plan.threshold is None:
        return Again(ranked(plan, seen.ranked))
    is_rolling = isinstance(plan.own, Rolling)
    low = seen.counts[rolling.BELOW] if is_rolling else np.zeros(len(plan.columns), dtype=np.int64)
    high = seen.counts[rolling.ABOVE] if is_rolling else seen.counts[forest.HIGHEST]
    timeless = plan.own.order.timeless if isinstance(plan.own, Rolling) and plan.own.order is not None else 0
    return Fitted(
        (),
        plan.threshold,
        seen.rows + timeless,
        seen.flagged,
        seen.table.height,
        tuple(low.tolist()),
        tuple(high.tolist()),
        tally=seen,
    )


def advanced(plan: Plan, passes: Sequence[Pass], rows: int) -> Plan:
    """The plan once a pass has shown more of the columns."""
    return known(plan, spread.advance_all(plan.spreads, passes), rows)


def known(plan: Plan, spreads: tuple[Spread, ...], rows: int) -> Plan:
    """The plan once this is known of the columns."""
    plan = msgspec.structs.replace(plan, spreads=spreads, rows=rows)
    if not all(known.done for known in spreads):
        return plan
    if plan.method is Method.HBOS:
        return msgspec.structs.replace(plan, grids=densities.grids(plan.columns, spreads, plan.bins))
    return judged(plan, tuple(_judge(plan, place) for place in range(len(plan.columns))))


def judged(plan: Plan, judges: tuple[Judge, ...]) -> Plan:
    """The plan once the judges are known. Where scores are means, the rows of the highest are all that is needed."""
    share = plan.contamination
    if plan.grouping is None:  # the judges have what they need of the distributions, and masking is told from a sample
        bare = (msgspec.structs.replace(known, values=values.EMPTY) for known in plan.spreads)
        plan = msgspec.structs.replace(plan, spreads=tuple(bare))
    top = flagging.most_top(share, plan.rows) if plan.mean and plan.threshold is None and share is not None else None
    return msgspec.structs.replace(plan, judges=judges, top=top)


def topped(plan: Plan, seen: Topped) -> Fitted | Again[Plan]:
    """The figures once the rows of the highest scores are known; or all scores are looked at."""
    found = flagging.flagged(seen, plan.contamination or CONTAMINATION, len(plan.judges))
    if found is None:
        return Again(msgspec.structs.replace(plan, top=None))
    limit, counted = found
    return fitted(msgspec.structs.replace(plan, threshold=limit), counted)


def _judge(plan: Plan, place: int) -> Judge:
    """The judge of the column at this place."""
    column, width = plan.columns[place].name, len(plan.columns)
    if plan.grouping is not None:
        return Grouped(column, tuple(bounds(column, known, plan.method) for known in plan.spreads[place::width]))
    if plan.method.bounded:
        return bounds(column, plan.spreads[place], plan.method)
    return densities.tails(column, plan.spreads[place], both=plan.method is Method.ECOD)


def ranked(plan: Plan, seen: Ranked) -> Plan:
    """The plan once the threshold is found, or one more pass brought it nearer."""
    if plan.search is None:
        found = flagging.threshold(seen, plan.contamination or CONTAMINATION)
    else:
        search = plan.search.settle(seen.glimpses)
        found = flagging.settled(search) if search.done else search
    if isinstance(found, float):
        return msgspec.structs.replace(plan, threshold=found, search=None)
    return msgspec.structs.replace(plan, search=found)


def fitted(plan: Plan, counted: Counted) -> Fitted:
    """The figures once the rows above the threshold are counted."""
    kept = flagging.keep(counted, plan.limit_rows)
    held = narrowed(kept.held, kept.numbers)
    return Fitted(
        plan.judges,
        -math.inf if plan.threshold is None else plan.threshold,
        counted.rows,
        counted.flagged,
        len(kept.scores),
        tuple(counted.low.tolist()),
        tuple(counted.high.tolist()),
        np.sort(kept.numbers),
        counted.sample,
        held=held[0] if held else None,
    )
