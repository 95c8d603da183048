"""Rows that are the same, over any number of parts: the step `drop_duplicates`.

Rows are compared by two seeded 64-bit hashes, 128 bits together: among 10^9 different rows the chance that any two are
taken for one is below 10^-20. Null equals null, NaN equals NaN, 0.0 equals -0.0.

Memory is bounded: columns are hashed group by group into two running hashes of each row of a part, so that no row is
in memory whole; a pass keeps the rows whose first hash is below a bound, and lowers the bound when they get too many.
What lies above is for the next pass. The rows to drop are one bit for each row of the dataset.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.processors.columns import Family, batches, exactly, resolve, together
from gristmill.processors.contract import ROW

KEPT_ROWS = 1_572_864
"""Different rows that one pass keeps: 38 MiB of hashes and row numbers, some 160 bytes a row while they are sorted."""
HASHED_ROWS = 8192
"""Rows that are hashed at a time: few, as texts may be long."""

_SEEDS = (0x67726973, 0x6D696C6C)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_COMPARABLE = frozenset(Family)
Unsigned = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.uint8]


class Keep(StrEnum):
    FIRST = "first"
    LAST = "last"
    NONE = "none"


class DropDuplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="drop_duplicates"):
    """Drop rows that are the same in the `subset` columns (null: all). `keep`: the first, the last, or none of them."""

    subset: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1)] | None, Meta(description="Columns to compare; null: all.")
    ] = None
    keep: Annotated[Keep, Meta(description="Which of rows that are the same stays, if any.")] = Keep.FIRST


class DuplicatePlan(msgspec.Struct, frozen=True, tag="duplicates"):
    """`start`: first hashes below are done, and the rows to drop among them are in `drops`."""

    columns: tuple[Column, ...]
    keep: Keep
    kept_rows: int
    start: int = 0
    drops: Bits = msgspec.field(default_factory=lambda: np.empty(0, dtype=np.uint8))


class DuplicateState(msgspec.Struct, frozen=True, tag="duplicates"):
    """One row for each different row seen, by hashes; `many` where all of its kind are dropped already.

    Only first hashes below `bound` are kept. None: all of them.
    """

    keep: Keep
    kept_rows: int
    bound: int | None
    first: Unsigned
    second: Unsigned
    rows: Unsigned
    many: npt.NDArray[np.bool_]
    drops: Bits


class DuplicateFitted(msgspec.Struct, frozen=True, tag="duplicates_fitted"):
    """The rows to drop: row n is bit n % 8 of byte n // 8; none beyond the last byte."""

    columns: tuple[str, ...]
    keep: Keep
    drops: Bits

    @property
    def dropped(self) -> int:
        """How many rows."""
        return int(np.bitwise_count(self.drops).sum())


def plan(step: DropDuplicates, columns: Sequence[Column], pointer: str) -> DuplicatePlan:
    chosen = resolve(columns, step.subset, pointer=f"{pointer}/subset", families=_COMPARABLE)
    return DuplicatePlan(chosen, step.keep, KEPT_ROWS)


def partial(frame: pl.LazyFrame, plan: DuplicatePlan, width: int) -> tuple[DuplicateState, int]:
    """The state of one part, and its rows. So many columns are looked at together."""
    held, waiting, rows = [_empty(plan)], 0, 0
    for hashed in _hashed(frame, plan, width):
        rows += len(hashed.rows)
        fresh = _below(_open(hashed, plan), held[0].bound)
        waiting += len(fresh.first)
        held.append(fresh)
        # Each sort goes over all that is held, so it waits for a good number of new ones.
        if waiting > plan.kept_rows // 2:
            held, waiting = [merge(held)], 0
    return merge(held), rows


def merge(states: Sequence[DuplicateState]) -> DuplicateState:
    bound = min((state.bound for state in states if state.bound is not None), default=None)
    states = [_below(state, bound) for state in states]
    first = np.concatenate([state.first for state in states])
    order = np.argsort(first)
    # One array after the other, as each is put in order with a copy: all at once they were most of a job's memory.
    second, rows, many = (
        np.concatenate([getattr(state, name) for state in states])[order] for name in ("second", "rows", "many")
    )
    first.sort()
    drops = _union([state.drops for state in states])
    return _shrink(
        _settle(DuplicateState(states[0].keep, states[0].kept_rows, bound, first, second, rows, many, drops))
    )


def finish(plan: DuplicatePlan, state: DuplicateState) -> DuplicateFitted | DuplicatePlan:
    """The fitted step, or the plan of the next pass."""
    drops = _union([plan.drops, state.drops])
    if state.bound is not None:
        return msgspec.structs.replace(plan, start=state.bound, drops=drops)
    return DuplicateFitted(tuple(column.name for column in plan.columns), plan.keep, drops)


def apply(frame: pl.LazyFrame, fitted: DuplicateFitted) -> pl.LazyFrame:
    """The rows that stay."""
    drops = fitted.drops
    if len(drops) == 0:
        return frame

    def stay(batch: pl.DataFrame) -> pl.DataFrame:
        rows = batch.get_column(ROW).to_numpy()
        places = (rows >> np.uint64(3)).astype(np.intp)
        known = np.where(places < len(drops), drops[np.minimum(places, len(drops) - 1)], np.uint8(0))
        return batch.filter(pl.Series(known & _bit(rows) == 0))

    return frame.map_batches(stay, streamable=True)


_NO_BITS: Bits = np.empty(0, dtype=np.uint8)


def _bit(rows: Unsigned) -> Bits:
    return np.left_shift(np.uint8(1), (rows & np.uint64(7)).astype(np.uint8))


def _bits(rows: Unsigned) -> Bits:
    """The set of these row numbers."""
    if len(rows) == 0:
        return _NO_BITS
    bits = np.zeros(int(rows.max()) // 8 + 1, dtype=np.uint8)
    np.bitwise_or.at(bits, (rows >> np.uint64(3)).astype(np.intp), _bit(rows))
    return bits


def _union(sets: Sequence[Bits]) -> Bits:
    longest = max(sets, key=len).copy()
    for bits in sets:
        longest[: len(bits)] |= bits
    return longest


def _empty(plan: DuplicatePlan) -> DuplicateState:
    none = np.empty(0, dtype=np.uint64)
    return DuplicateState(plan.keep, plan.kept_rows, None, none, none, none, np.empty(0, dtype=np.bool_), _NO_BITS)


class _Hashed(NamedTuple):
    """Two hashes of each of some rows, and the rows' numbers."""

    first: Unsigned
    second: Unsigned
    rows: Unsigned


def _hashed(frame: pl.LazyFrame, plan: DuplicatePlan, width: int) -> Iterator[_Hashed]:
    """The rows of a part batch by batch; with more columns than fit together, all batches are held until the last."""
    *before, last = together(plan.columns, width)
    held: list[_Hashed] = []
    for group in before:
        held = list(_added(frame, group, held))
    yield from _added(frame, last, held)


def _added(frame: pl.LazyFrame, group: Sequence[Column], held: Sequence[_Hashed]) -> Iterator[_Hashed]:
    """Running hashes with those of further columns. They are polynomials of the hashes of the groups."""
    names = [column.name for column in group]
    for ordinal, batch in enumerate(batches(frame, names, HASHED_ROWS)):
        seen = batch.select(map(exactly, names))
        first, second = (seen.hash_rows(seed).to_numpy() for seed in _SEEDS)
        if held:
            known = held[ordinal]
            yield _Hashed(known.first * _STEP + first, known.second * _STEP + second, known.rows)
        else:
            yield _Hashed(first, second, batch.get_column(ROW).to_numpy())


def _open(hashed: _Hashed, plan: DuplicatePlan) -> DuplicateState:
    """The rows that no pass before has settled."""
    open_ = hashed.first >= np.uint64(plan.start)
    first, second, rows = (one[open_] for one in hashed)
    many = np.zeros(len(rows), dtype=np.bool_)
    return DuplicateState(plan.keep, plan.kept_rows, None, first, second, rows, many, _NO_BITS)


def _below(state: DuplicateState, bound: int | None) -> DuplicateState:
    if bound is None or state.bound == bound:
        return state
    inside = state.first < np.uint64(bound)
    return _taken(msgspec.structs.replace(state, bound=bound), inside)


def _taken(state: DuplicateState, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> DuplicateState:
    return msgspec.structs.replace(
        state, first=state.first[index], second=state.second[index], rows=state.rows[index], many=state.many[index]
    )


def _settle(state: DuplicateState) -> DuplicateState:
    """Of rows in the order of their first hash, one left for each different row; the others go to `drops`. Only equal
    first hashes are looked at closely.
    """
    same = state.first[1:] == state.first[:-1]
    if not same.any():
        return state
    tied = np.concatenate((same, [False])) | np.concatenate(([False], same))
    close = _taken(state, np.flatnonzero(tied))
    close = _taken(close, np.lexsort((close.rows, close.second, close.first)))
    starts = np.concatenate(([True], (close.first[1:] != close.first[:-1]) | (close.second[1:] != close.second[:-1])))
    ends = np.concatenate((starts[1:], [True]))
    stays = ends if state.keep is Keep.LAST else starts
    if state.keep is Keep.NONE:
        lonely = starts & ends & ~close.many
        dropped = close.rows[~lonely & ~close.many]
        close = msgspec.structs.replace(close, many=~lonely)
    else:
        dropped = close.rows[~stays]
    left, right = _taken(state, np.flatnonzero(~tied)), _taken(close, np.flatnonzero(stays))
    return DuplicateState(
        state.keep,
        state.kept_rows,
        state.bound,
        np.concatenate((left.first, right.first)),
        np.concatenate((left.second, right.second)),
        np.concatenate((left.rows, right.rows)),
        np.concatenate((left.many, right.many)),
        _union((state.drops, _bits(dropped))),
    )


def _shrink(state: DuplicateState) -> DuplicateState:
    """With too many rows, keep the lower half of the hashes. Drops above the bound are found again."""
    size = len(state.first)
    if size <= state.kept_rows:
        return state
    bound = int(np.partition(state.first, size // 2)[size // 2])
    return _below(state, bound)
