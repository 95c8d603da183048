"""Isolation forest (Liu, Ting and Zhou, 2008): rows that few random cuts part from the others.

The score of a row is 2^(-E(h) / c(n)), h its path length in each tree, c(n) the mean path length of an unsuccessful
search in a binary search tree of n values: 0.5 is average, near 1 is alone.

Nothing is drawn by a generator whose numbers depend on a library's version: every choice is a hash (SplitMix64 of
Steele, Lea and Flood, 2014) of the seed and of what is chosen. The sample are the rows whose numbers have the smallest
hashes, so it merges, and does not depend on how the rows were cut into parts.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors import tallies
from gristmill.processors.columns import BATCH_ROWS, Floats, batches, exactly
from gristmill.processors.contract import ROW
from gristmill.processors.tallies import Goal, Scored, Tally

MOST_CELLS = 2_097_152
"""Cells of the sample: 16 MiB."""
BATCH_CELLS = 1_048_576
LEAST_ROWS = 256
"""Rows that are looked at together have so many cells, in half a dozen copies; of very wide tables there are more."""
BLOCK_ROWS = 4096
"""Rows that go through a tree together: they stay in the cache."""
JUDGED, HIGHEST = range(2)
"""The kinds of counts of a tally: rows that are judged, and flagged rows in which a column says most."""
EULER = 0.5772156649015329

Hashes = npt.NDArray[np.uint64]


class Sample(msgspec.Struct, frozen=True):
    """Rows with a finite number in every column, those of the smallest hashes. `low` and `high` are of all."""

    hashes: Hashes
    rows: Floats
    low: Floats
    high: Floats


class Forest(msgspec.Struct, frozen=True, tag="forest"):
    """What was asked for, and the trees once they are grown. Arrays have a row for each tree, a column for each node.

    Node 1 is the root, the children of node i are 2i (below the threshold) and 2i + 1. A row goes down `height` times;
    a path that ends earlier goes on to the left. `depths` are the mean path length of the tree's own rows in each node,
    `average` is c(n).
    """

    trees: int
    sample_rows: int
    seed: int
    height: int = 0
    columns: npt.NDArray[np.int32] | None = None
    thresholds: Floats | None = None
    depths: Floats | None = None
    average: float = 1.0
    sampled: int = 0
    flat: tuple[bool, ...] = ()

    @property
    def grown(self) -> bool:
        return self.columns is not None

    @property
    def mean_depth(self) -> float:
        """The path length of the trees' own rows: where contributions start from."""
        return 0.0 if self.depths is None else float(self.depths[:, 1].mean())


def pool_rows(forest: Forest, columns: int) -> int:
    """Rows sampled for all trees: each tree would have rows of its own, as far as memory allows."""
    return max(forest.sample_rows, min(forest.trees * forest.sample_rows, MOST_CELLS // columns))


def sample(frame: pl.LazyFrame, forest: Forest, names: Sequence[str]) -> Sample:
    """The sample of one part."""
    most = pool_rows(forest, len(names))
    seen = _nothing(len(names))
    for numbers, rows in _numbers(frame, names):
        whole = np.isfinite(rows).all(axis=1)
        hashes, kept = _mixed(numbers[whole], forest.seed), rows[whole]
        if len(seen.hashes) == most:
            near = hashes <= seen.hashes[-1]
            hashes, kept = hashes[near], kept[near]
        low, high = _ends(rows[whole]) if whole.any() else (seen.low, seen.high)
        seen = merge([seen, Sample(hashes, kept, low, high)], most)
    return seen


def merge(parts: Sequence[Sample], most: int) -> Sample:
    """The `most` rows of the smallest hashes."""
    hashes = np.concatenate([part.hashes for part in parts])
    order = np.argsort(hashes, kind="stable")[:most]
    return Sample(
        hashes[order],
        np.concatenate([part.rows for part in parts])[order],
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
    )


def grow(forest: Forest, seen: Sample) -> Forest:
    """The trees, each from `sample_rows` rows of the sample, or all if they are fewer."""
    size = min(forest.sample_rows, len(seen.hashes))
    height = max(1, math.ceil(math.log2(max(size, 2))))
    nodes = 2 ** (height + 1)
    columns = np.zeros((forest.trees, nodes), dtype=np.int32)
    thresholds, depths = np.full((forest.trees, nodes), np.inf), np.zeros((forest.trees, nodes))
    for tree in range(forest.trees):
        seed = _stream(forest.seed, tree)
        order = np.argsort(_mixed(seen.hashes, seed), kind="stable")[:size]
        if forest.trees * size <= len(seen.hashes):
            order = np.arange(tree * size, (tree + 1) * size)
        _Tree(columns[tree], thresholds[tree], depths[tree], height, seed).grow(seen.rows[order], 1, 0)
    return msgspec.structs.replace(
        forest,
        height=height,
        columns=columns,
        thresholds=thresholds,
        depths=depths,
        average=max(path_length(size), 1.0),
        sampled=len(seen.hashes),
        flat=tuple((seen.low >= seen.high).tolist()),
    )


def path_length(size: int) -> float:
    """c(n): the mean path length of an unsuccessful search in a binary search tree of n values."""
    if size <= 2:
        return float(max(size - 1, 0))
    return 2 * (math.log(size - 1) + EULER) - 2 * (size - 1) / size


def judge(frame: pl.LazyFrame, forest: Forest, goal: Goal) -> Tally:
    """One pass over a part: rows with a missing value are not judged, those with an infinite one always flagged."""
    seen = tallies.empty(goal, 2)
    for numbers, rows in _numbers(frame, goal.columns):
        best = score(forest, rows)
        counts = np.zeros((2, len(goal.columns)), dtype=np.int64)
        counts[JUDGED] = int((~np.isnan(best)).sum())
        scored = _explained(forest, goal, numbers, rows, best)
        counts[HIGHEST] = np.bincount(scored.lead, minlength=len(goal.columns))
        found = tallies.tally(goal, scored, rows=len(numbers), counts=counts)
        seen = tallies.merge([seen, found], goal.limit, goal.most)
    return seen


def score(forest: Forest, rows: Floats) -> Floats:
    """The score of each row; NaN where a value is missing."""
    found = np.where(np.isnan(rows).any(axis=1), np.nan, np.inf)
    if forest.depths is None or not forest.sampled or all(forest.flat):
        return np.full(len(rows), np.nan)
    finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
    for start in range(0, len(finite), BLOCK_ROWS):
        block = finite[start : start + BLOCK_ROWS]
        values = np.ascontiguousarray(rows[block].T)
        depth = np.zeros(len(block))
        for tree in range(forest.trees):
            *_, leaf = _path(forest, tree, values)
            depth += forest.depths[tree].take(leaf)
        found[block] = np.exp2(-(depth / forest.trees) / forest.average)
    return found


def contributions(forest: Forest, rows: Floats) -> Floats:
    """What each column adds to log2 of the score of each row of finite numbers, beyond that of an average row.

    Each cut changes the path length to be expected by the tree's own rows; the change is its column's. The sum of a
    row's contributions is log2(score) + mean_depth / c(n), exactly.
    """
    made = np.zeros(rows.shape)
    if forest.depths is None or forest.columns is None:
        return made
    values = np.ascontiguousarray(rows.T)
    line = np.arange(len(rows))
    for tree in range(forest.trees):
        before = np.ones(len(rows), dtype=np.intp)
        for after in _path(forest, tree, values):
            change = forest.depths[tree].take(before) - forest.depths[tree].take(after)
            made[line, forest.columns[tree].take(before)] += change
            before = after
    return made / (forest.trees * forest.average)


def _explained(forest: Forest, goal: Goal, numbers: Hashes, rows: Floats, best: Floats) -> Scored:
    """The scores; and for the rows that may be kept, which column says most. An infinite value says all."""
    if goal.threshold is None:
        none = np.empty((0, rows.shape[1]))
        return Scored(numbers, best, none, np.empty(0, dtype=np.int32), np.empty(0))
    with np.errstate(invalid="ignore"):
        flagged = np.flatnonzero(best > goal.threshold)
    chosen = rows[flagged]
    said = contributions(forest, np.where(np.isfinite(chosen), chosen, 0.0))
    infinite = np.isinf(chosen)
    said[infinite.any(axis=1)] = np.nan
    said[infinite] = np.inf
    lead = np.where(np.isnan(said), -np.inf, said).argmax(axis=1).astype(np.int32)
    return Scored(numbers[flagged], best[flagged], said, lead, np.full(len(flagged), np.nan))


class _Tree:
    """Grows one tree into the arrays of its nodes."""

    def __init__(
        self, columns: npt.NDArray[np.int32], thresholds: Floats, depths: Floats, height: int, seed: int
    ) -> None:
        self._columns = columns
        self._thresholds = thresholds
        self._depths = depths
        self._height = height
        self._seed = seed

    def grow(self, rows: Floats, node: int, depth: int) -> float:
        """Cut the rows at a random place of a random column that is not constant in them. Answers their mean depth."""
        low, high = _ends(rows) if len(rows) else (np.zeros(1), np.zeros(1))
        open_columns = np.flatnonzero(high > low)
        if depth == self._height or len(rows) < 2 or not len(open_columns):
            return self._close(node, depth, depth + path_length(len(rows)))
        which, where = _uniform(self._seed, node, 2)
        column = int(open_columns[int(which * len(open_columns))])
        threshold = low[column] * (1 - where) + high[column] * where
        # Rounding must not leave a side without rows.
        threshold = min(max(threshold, np.nextafter(low[column], high[column])), high[column])
        self._columns[node], self._thresholds[node] = column, threshold
        right = rows[:, column] >= threshold
        sides = (self.grow(rows[~right], 2 * node, depth + 1), self.grow(rows[right], 2 * node + 1, depth + 1))
        share = right.mean()
        self._depths[node] = sides[0] * (1 - share) + sides[1] * share
        return float(self._depths[node])

    def _close(self, node: int, depth: int, found: float) -> float:
        """The path ends here, or goes on to the left to the last level."""
        self._depths[node] = found
        for _ in range(self._height - depth):
            node *= 2
            self._depths[node] = found
        return found


def _path(forest: Forest, tree: int, values: Floats) -> Iterator[npt.NDArray[np.intp]]:
    """The nodes that rows come to, level by level. Values have a row for each column."""
    if forest.columns is None or forest.thresholds is None:
        return
    columns, thresholds = forest.columns[tree].astype(np.intp) * values.shape[1], forest.thresholds[tree]
    flat, line = values.ravel(), np.arange(values.shape[1])
    node = np.ones(values.shape[1], dtype=np.intp)
    for _ in range(forest.height):
        node = 2 * node + (flat.take(columns.take(node) + line) >= thresholds.take(node))
        yield node


def _numbers(frame: pl.LazyFrame, names: Sequence[str]) -> Iterator[tuple[Hashes, Floats]]:
    """Batches: the rows' numbers, and their values, NaN where there is none."""
    columns = [
        exactly(name).cast(pl.Float64).fill_null(np.nan).alias(f"{ROW}{place}") for place, name in enumerate(names)
    ]
    height = max(LEAST_ROWS, min(BATCH_ROWS, BATCH_CELLS // len(names)))
    for batch in batches(frame, names, height):
        yield batch.get_column(ROW).to_numpy(), batch.select(columns).to_numpy() + 0.0


def _nothing(columns: int) -> Sample:
    none = np.empty((0, columns))
    return Sample(np.empty(0, dtype=np.uint64), none, np.full(columns, np.inf), np.full(columns, -np.inf))


def _ends(rows: Floats) -> tuple[Floats, Floats]:
    return rows.min(axis=0), rows.max(axis=0)


def _mixed(numbers: Hashes, seed: int) -> Hashes:
    """SplitMix64 of each number, in the stream of this seed."""
    with np.errstate(over="ignore"):
        mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(_stream(seed, 0))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _stream(seed: int, number: int) -> int:
    """A seed of its own for each number."""
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return mixed ^ (mixed >> 31)


def _uniform(seed: int, node: int, count: int) -> list[float]:
    """Numbers in [0, 1) for this node of this tree."""
    return [(_stream(seed, node * count + place + 1) >> 11) / 2**53 for place in range(count)]
