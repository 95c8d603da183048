"""However rows are cut and states are joined, the figures are the same, and quantiles are exact."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.processors import correlations, frequencies, hashes, moments, quantiles, values
from gristmill.processors.values import Limits
from tests.processors.folder import columns_of

NUMBERS = st.lists(st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: round(x, 3)), max_size=400)
CUTS = st.lists(st.integers(0, 400), max_size=6)
FRACTIONS = (0.0, 0.01, 0.25, 0.5, 0.77, 1.0)
TIGHT = Limits(kept=24, grain=8)


def pieces(rows: list[float], cuts: list[int]) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    edges = [0, *sorted(min(place, len(rows)) for place in cuts), len(rows)]
    return [np.array(rows[low:high], dtype=np.float64) for low, high in pairwise(edges)]


@settings(deadline=None)
@given(NUMBERS, CUTS)
def test_quantiles_are_exact_in_tight_memory(rows: list[float], cuts: list[int]) -> None:
    parts = pieces(rows, cuts)
    seen = values.merge([values.merge([values.tally(part)], TIGHT) for part in parts], TIGHT)
    assert len(seen.points) <= max(TIGHT.kept, 2 * TIGHT.grain)
    assert seen.count == len(rows)
    for center in (None, 0.25):
        found = quantiles.search(seen, FRACTIONS, center=center)
        passes = 0
        while not found.done:
            found = found.settle(quantiles.merge([found.glimpse(part, TIGHT) for part in parts], TIGHT))
            passes += 1
            assert passes < 20
        array = np.array(rows) if center is None else np.abs(np.array(rows) - center)
        for fraction in FRACTIONS:
            wanted = float(np.quantile(array, fraction)) if rows else None
            assert found.quantile(len(rows), fraction) == (None if wanted is None else pytest.approx(wanted, rel=1e-12))


@settings(deadline=None)
@given(NUMBERS, CUTS)
def test_a_bracket_holds_its_order_statistic(rows: list[float], cuts: list[int]) -> None:
    seen = values.EMPTY
    for part in pieces(rows, cuts):
        seen = values.merge([seen, values.tally(part)], TIGHT)
    for rank, wanted in enumerate(sorted(rows)):
        low, high = seen.bracket(rank)
        assert low <= wanted <= high


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_merging_moments_is_associative(a: list[float], b: list[float], c: list[float]) -> None:
    x, y, z = (moments.measure(np.array(rows, dtype=np.float64)) for rows in (a, b, c))
    left = moments.merge([moments.merge([x, y]), z])
    right = moments.merge([x, moments.merge([y, z])])
    whole = moments.measure(np.array([*a, *b, *c], dtype=np.float64))
    for found in (left, right):
        assert (found.count, found.low, found.high) == (whole.count, whole.low, whole.high)
        assert found.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
        assert found.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-3)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdefgh") | st.none(), max_size=200), st.integers(0, 200))
def test_frequencies_and_hashes_merge_to_the_whole(rows: list[str | None], place: int) -> None:
    whole = pl.Series(rows, dtype=pl.String)
    halves = whole[:place], whole[place:]
    counted = frequencies.merge([frequencies.count(half, 256) for half in halves], 256)
    assert counted.top(9) == frequencies.count(whole, 256).top(9)
    there = whole.drop_nulls()
    told = hashes.tally(hashes.merge([hashes.of_values(half) for half in halves], 256), len(there), 256)
    assert (told.exact, told.distinct, told.repeats) == (True, there.n_unique(), len(there) - there.n_unique())
    # With room for four values: no count is too high, and none is lower than the error allows.
    tight = frequencies.merge([frequencies.count(half, 4) for half in halves], 4)
    for value, count in tight.top(9):
        assert count <= rows.count(str(value)) <= count + tight.error


@pytest.mark.parametrize("different", [40_000, 700])
def test_many_hashes_tell_the_same_however_they_were_cut(different: int) -> None:
    whole = pl.Series(np.random.default_rng(3).integers(0, different, 60_000))
    told = set()
    for pieces in (1, 7, 150):
        parts = [hashes.of_values(whole.gather(place)) for place in np.array_split(np.arange(60_000), pieces)]
        gathered = hashes.Gathered(512)
        for part in parts[: pieces // 2]:
            gathered.add(part)
        told.add(hashes.tally(hashes.merge([gathered.seen(), *parts[pieces // 2 :]], 512), 60_000, 512))
    (found,) = told
    assert found.distinct == pytest.approx(whole.n_unique(), rel=4 * hashes.relative_error(512))
    assert found.repeats == pytest.approx(60_000 - whole.n_unique(), rel=0.2)


def test_a_sample_that_misses_costs_a_pass_and_no_exactness() -> None:
    rng = np.random.default_rng(5)
    limit = values.Limits(kept=2_000, grain=256)
    column = rng.normal(size=8 * 40_000)
    batches = np.split(column, 8)
    for turn, batch in enumerate(batches, start=1):
        # Where the sample looks there is nothing but large values.
        seen = values.sample(np.arange(40_000, dtype=np.float64), turn).points.astype(int)
        batch[seen] = rng.normal(50.0, 1.0, len(seen))
    gathered = values.Gathered(limit, lambda _: None)
    for batch in batches:
        gathered.add(batch)
    search, passes = quantiles.search(gathered.seen(), (0.01, 0.5, 0.9)), 0
    while not search.done:
        passes += 1
        search = search.settle(search.glimpse(column, limit))
    assert passes > 1
    for fraction in (0.01, 0.5, 0.9):
        assert search.quantile(len(column), fraction) == np.quantile(column, fraction)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_merging_correlations_is_associative(one: int, other: int) -> None:
    rng = np.random.default_rng(one)
    frame = pl.DataFrame(rng.normal(loc=(0.0, 1e6, -5.0), size=(60, 3)), schema=["a", "b", "c"])
    frame = frame.with_columns(pl.when(pl.col("a") > 1).then(None).otherwise(pl.col("a")).alias("a"))
    low, high = sorted((one, other))
    columns = columns_of(frame)
    parts = [
        correlations.measure(piece, columns) for piece in (frame[:low], frame[low:high], frame[high:]) if len(piece)
    ]
    zero = correlations.zero(3)
    left = correlations.merge([correlations.merge([zero, *parts[:2]]), *parts[2:]])
    right = correlations.merge([zero, *parts[:1], correlations.merge([zero, *parts[1:]])])
    found, again = (np.array(correlations.coefficients(one), dtype=np.float64) for one in (left, right))
    assert np.allclose(found, again, rtol=1e-9, atol=1e-9)
