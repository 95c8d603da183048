"""Rows judged as a whole, with figures of their own: their scores ranked, or those above the threshold kept.

For methods whose bounds are not the same for all rows (`rolling`) or that have none for a column (`isolation_forest`).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors import flagging
from gristmill.processors.columns import Floats
from gristmill.processors.contract import ROW
from gristmill.processors.flagging import BEST, BOUND, LEAD, Ranked
from gristmill.processors.quantiles import Search
from gristmill.processors.values import Limits

KEPT_CELLS = 8_388_608
"""Cells of the kept rows' figures: 64 MiB."""

Places = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class Goal(msgspec.Struct, frozen=True):
    """What a pass is for: to find the threshold, as far as `search` got, or to keep the `most` rows above it."""

    columns: tuple[str, ...]
    threshold: float | None
    search: Search | None
    limit: Limits
    most: int


class Scored(msgspec.Struct, frozen=True):
    """Rows with their score. `scores` has a row for each and a column for each column; NaN is not judged.

    `lead` is the place of the column that says most, `bound` what it crossed.
    """

    rows: npt.NDArray[np.uint64]
    best: Floats
    scores: Floats
    lead: Places
    bound: Floats


class Tally(msgspec.Struct, frozen=True):
    """What was seen of the rows. `counts` are by kind of count, then by column; `table` has the rows that are kept."""

    ranked: Ranked
    rows: int
    flagged: int
    counts: Counts
    table: pl.DataFrame


def most_rows(limit_rows: int, columns: int) -> int:
    """So many rows are kept at most: their figures are held in memory."""
    return max(1, min(limit_rows, KEPT_CELLS // (columns + 4)))


def tally(goal: Goal, scored: Scored, *, rows: int, counts: Counts) -> Tally:
    """One batch of `rows` rows, of which those judged are `scored`; only they may be flagged."""
    if goal.threshold is None:
        own = scored.best[~np.isnan(scored.best)]
        ranked = flagging.ranked(own, goal.limit, goal.search)
        return Tally(ranked, rows, 0, counts, _table(goal, scored, np.zeros(0, dtype=np.intp)))
    with np.errstate(invalid="ignore"):
        flagged = np.flatnonzero(scored.best > goal.threshold)
    order = np.lexsort((scored.rows[flagged], -scored.best[flagged]))[: goal.most]
    kept = np.sort(flagged[order])
    return Tally(Ranked(), rows, len(flagged), counts, _table(goal, scored, kept))


def empty(goal: Goal, kinds: int) -> Tally:
    """No rows, `kinds` kinds of counts."""
    none = np.empty(0)
    scored = Scored(none.astype(np.uint64), none, np.empty((0, len(goal.columns))), none.astype(np.int32), none)
    return tally(goal, scored, rows=0, counts=np.zeros((kinds, len(goal.columns)), dtype=np.int64))


def merge(parts: Sequence[Tally], limit: Limits, most: int) -> Tally:
    """Joined in their order; of equal scores, the earlier rows are kept."""
    table = pl.concat([part.table for part in parts])
    if table.height > most:
        order = np.lexsort((table.get_column(ROW).to_numpy(), -table.get_column(BEST).to_numpy()))[:most]
        table = table[np.sort(order)]
    return Tally(
        flagging.merge([part.ranked for part in parts], limit),
        sum(part.rows for part in parts),
        sum(part.flagged for part in parts),
        np.sum([part.counts for part in parts], axis=0),
        table,
    )


def _table(goal: Goal, scored: Scored, kept: npt.NDArray[np.intp]) -> pl.DataFrame:
    """The kept rows' figures, as `apply` joins them to the rows themselves."""
    names = pl.Series(goal.columns, dtype=pl.String)
    scores = {flagging.score(place): scored.scores[kept, place] for place in range(len(goal.columns))}
    return pl.DataFrame(
        {
            ROW: pl.Series(scored.rows[kept], dtype=pl.UInt64),
            BEST: scored.best[kept],
            LEAD: names.gather(scored.lead[kept]) if len(kept) else names.clear(),
            BOUND: pl.Series(scored.bound[kept], nan_to_null=True),
            **{name: pl.Series(column, nan_to_null=True) for name, column in scores.items()},
        },
        schema_overrides={BEST: pl.Float64, BOUND: pl.Float64, **dict.fromkeys(scores, pl.Float64)},
    )
