"""What `metrics` found of a whole dataset at its ingest, for other kinds: a fit that needs nothing else reads no data.

Only figures that come out the same to the last bit are taken: moments, which are added up in the same batches whatever
else is looked at, and order statistics, which are exact.
"""

from collections.abc import Sequence

import msgspec

from gristmill.domain.column import Column
from gristmill.processors.contract import unpack
from gristmill.processors.profile import ColumnSeen, NumberSeen
from gristmill.processors.spread import Spread

VERSION = 4
"""That of `metrics`: figures of another one are not taken."""


class _Fitted(msgspec.Struct, frozen=True):
    rows: int
    columns: tuple[ColumnSeen, ...]
    spreads: tuple[Spread, ...]


class _Kept(msgspec.Struct, frozen=True):
    version: int
    columns: tuple[Column, ...] = ()
    fitted: _Fitted | None = None


class Recalled(msgspec.Struct, frozen=True):
    """The rows of a dataset, and what is known of its numeric columns."""

    rows: int
    columns: dict[str, tuple[NumberSeen, Spread]]

    def spread(self, column: Column, wanted: Spread) -> Spread | None:
        """What is wanted of a column, as if all passes were done; None where that is not known."""
        seen, known = self.columns.get(column.name, (None, None))
        if seen is None or known is None or wanted.shape:
            return None
        fractions = (*wanted.fractions, 0.5) if wanted.mad else wanted.fractions
        if known.moments.count and not set(fractions) <= set(known.fractions):
            return None
        if wanted.mad and not known.median_distance and known.moments.count and not (seen.told and seen.told.exact):
            # The mean distance to the median is wanted then, and it is not kept of so many values.
            return None
        found = msgspec.structs.replace(wanted, first=False, moments=known.moments, quantiles=known.quantiles)
        if not wanted.mad:
            return found
        return msgspec.structs.replace(found, distances=known.distances, away=known.away, centered=True)

    def spreads(self, columns: Sequence[Column], wanted: Sequence[Spread]) -> tuple[Spread, ...] | None:
        """The same of several columns; None if one of them is not known well enough."""
        found = [self.spread(column, spread) for column, spread in zip(columns, wanted, strict=True)]
        known = tuple(spread for spread in found if spread is not None)
        return known if len(known) == len(found) else None

    def gapless(self, name: str) -> bool:
        """Whether a numeric column misses no value."""
        seen, _ = self.columns.get(name, (None, None))
        return seen is not None and not seen.nulls and not seen.nans


def recall(kept: bytes) -> Recalled | None:
    """What is in the bytes; None: figures of another version."""
    found = unpack(kept, _Kept)
    if found.version != VERSION or found.fitted is None:
        return None
    columns = zip(found.columns, found.fitted.columns, found.fitted.spreads, strict=True)
    known = {column.name: (seen, spread) for column, seen, spread in columns if isinstance(seen, NumberSeen)}
    return Recalled(found.fitted.rows, known)
