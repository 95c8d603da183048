"""How far the kind `metrics` has come: its plan, what a pass saw, and all that its report is made of."""

from collections.abc import Sequence

import msgspec

from gristmill.domain.column import Column
from gristmill.processors import hashes, profile, spread
from gristmill.processors.columns import together
from gristmill.processors.contract import Planned, PlannedStep
from gristmill.processors.correlations import Comoments
from gristmill.processors.drift import DriftPlan, DriftState
from gristmill.processors.hashes import Hashes, Tally
from gristmill.processors.profile import Caps, ColumnSeen, NumberSeen
from gristmill.processors.ranks import Ranking, RankState
from gristmill.processors.spread import Spread


class Plan(Planned, frozen=True, kw_only=True):
    """`spreads` holds what is known of each column; `first` is what the first pass saw.

    With `known`, all is known but what columns have together: repeated rows and correlations.
    """

    columns: tuple[Column, ...]
    caps: Caps
    spreads: tuple[Spread, ...]
    correlated: tuple[Column, ...]
    first: "State | None" = None
    known: "Fitted | None" = None
    drift: DriftPlan | None = None
    baseline: DriftState | None = None
    ranking: Ranking | None = None

    @property
    def looks(self) -> int:
        """Each group of columns; and once more all that are correlated, where they are not in one group."""
        looked = len(together(self.looked_at, self.width))
        return looked + (self.comoments_apart is not None) + (self.ranking is not None and self.ranking.second)

    @property
    def whole(self) -> bool:
        """Whether rows are looked at whole: which are repeated, and what columns have together."""
        return self.first is None

    @property
    def open(self) -> tuple[int, ...]:
        """The places of the columns of which something is still looked for."""
        if self.known is not None:
            return ()
        return tuple(at for at, known in enumerate(self.spreads) if self.first is None or not known.done)

    @property
    def looked_at(self) -> tuple[Column, ...]:
        return self.columns if self.whole else tuple(self.columns[at] for at in self.open)

    @property
    def comoments_apart(self) -> tuple[Column, ...] | None:
        """The correlated columns, if they need a look of their own in this pass."""
        if not self.whole or not self.correlated or len(together(self.columns, self.width)) == 1:
            return None
        return self.correlated

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
    drift: DriftState | None = None
    ranks: RankState | None = None


class Fitted(msgspec.Struct, frozen=True):
    """All that the report is made of, however many rows there were: some kilobytes a column."""

    rows: int
    columns: tuple[ColumnSeen, ...]
    spreads: tuple[Spread, ...]
    repeated: Tally
    comoments: Comoments | None
    drift: DriftState | None = None
    ranking: Ranking | None = None


class Kept(msgspec.Struct, frozen=True):
    """The fitted figures of a whole dataset with default params, as ingest keeps them."""

    version: int
    columns: tuple[Column, ...]
    caps: Caps
    fitted: Fitted


def settled(plan: Plan, first: State, spreads: Sequence[Spread], ranking: Ranking | None) -> Fitted:
    found = [
        profile.settle(column, seen, known, plan.caps)
        for column, seen, known in zip(plan.columns, first.columns, spreads, strict=True)
    ]
    return Fitted(
        first.rows,
        tuple(seen for seen, _ in found),
        tuple(known for _, known in found),
        hashes.tally(first.repeated, first.rows, hashes.KEPT_ROWS),
        first.comoments,
        first.drift,
        ranking,
    )


def chosen(kept: Kept, plan: Plan, places: Sequence[int]) -> Fitted | None:
    """What is kept of some columns; None where a pass over them alone would see more of them."""
    fitted = kept.fitted
    columns = tuple(fitted.columns[place] for place in places)
    if kept.caps != plan.caps and not all(seen.told is not None and seen.told.exact for seen in columns):
        return None
    spreads = tuple(fitted.spreads[place] for place in places)
    return Fitted(fitted.rows, columns, spreads, fitted.repeated, fitted.comoments if plan.correlated else None)


def with_bins(held: ColumnSeen, seen: NumberSeen) -> ColumnSeen:
    """What the first pass saw, with the histogram of a later one, and without what is in the spread by now."""
    if not isinstance(held, NumberSeen):
        return held
    return msgspec.structs.replace(held, seen=spread.Pass(), bins=held.bins if seen.bins is None else seen.bins)
