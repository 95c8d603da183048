"""The order of a column and the steps of its times: the same however the rows are cut."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.processors import frequencies, order
from gristmill.processors.contract import pack, unpack
from gristmill.processors.order import Order, OrderWatch, Steps, StepsWatch, merge, merge_steps
from gristmill.processors.times import duration, iso
from gristmill.processors.values import Limits
from tests.processors.folder import by_name, process

few = st.integers(-3, 3)
rising = st.lists(few, max_size=12).map(sorted)
some = st.one_of(st.lists(few, max_size=12), rising, rising.map(lambda found: found[::-1]))
TIMES = pl.Series([], dtype=pl.Datetime("us"))
cuts = st.lists(st.integers(0, 12), max_size=4).map(sorted)


def pieces(found: list[int], places: list[int]) -> list[pl.Series]:
    edges = [0, *(min(place, len(found)) for place in places), len(found)]
    return [pl.Series(found[low:high], dtype=pl.Int64) for low, high in pairwise(edges)]


def expected(found: list[Any]) -> str | None:
    pairs = list(pairwise(found))
    if not pairs:
        return None
    if all(a == b for a, b in pairs):
        return "constant"
    for word, holds in (
        ("strictly_increasing", all(a < b for a, b in pairs)),
        ("increasing", all(a <= b for a, b in pairs)),
        ("strictly_decreasing", all(a > b for a, b in pairs)),
        ("decreasing", all(a >= b for a, b in pairs)),
    ):
        if holds:
            return word
    return None


@settings(max_examples=400, deadline=None)
@given(found=some, batches=cuts, parts=cuts)
@example(found=[1, 1, 2, 2], batches=[2], parts=[2])
def test_the_order_is_told_however_the_rows_are_cut(found: list[int], batches: list[int], parts: list[int]) -> None:
    watch = OrderWatch()
    for piece in pieces(found, batches):
        watch.take(piece)
    assert watch.seen().word == expected(found)
    seen = [unpack(pack(order.look(piece)), Order) for piece in pieces(found, parts)]
    assert merge(seen).word == expected(found)
    assert merge([merge(seen[:1]), merge(seen[1:])]).word == expected(found)


@settings(max_examples=400, deadline=None)
@given(found=some, batches=cuts, parts=cuts)
def test_steps_are_those_between_different_times(found: list[int], batches: list[int], parts: list[int]) -> None:
    def look(part: list[pl.Series]) -> Steps:
        watch = StepsWatch()
        for piece in part:
            watch.take(piece)
        return unpack(pack(watch.seen()), Steps)

    whole = look(pieces(found, batches))
    joined = merge_steps([look([piece]) for piece in pieces(found, parts)])
    for seen in (whole, joined):
        told = order.gaps(seen, TIMES, exact=False)
        sizes = [after - before for before, after in pairwise(sorted(set(found)))]
        if expected(found) in (None, "constant") or not sizes:
            assert told is None
            continue
        assert told is not None
        assert (told.steps, told.largest) == (len(sizes), duration(max(sizes), TIMES.dtype))
        assert told.median == duration(median_low(sizes), TIMES.dtype)
        assert told.irregular == sum(size != median_low(sizes) for size in sizes)
        low = sorted(set(found))[sizes.index(max(sizes))]
        assert [told.start, told.end] == iso(pl.Series([low, low + max(sizes)]).cast(TIMES.dtype))
        assert told.exact


@pytest.mark.parametrize("cut", [1, 3])
def test_times_in_disorder_have_gaps_as_far_as_their_values_are_known(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [date(2024, 1, 1) + timedelta(days=(place * 37) % 101) for place in range(101)]
    frame = pl.DataFrame({"day": days})
    told = by_name(process("metrics", frame, {}, tmp_path / "known", parts=cut)[1].report)["day"]
    assert told["gaps"]["steps"] == 100
    assert told["gaps"]["irregular_steps"] == 0
    monkeypatch.setattr(frequencies, "KEPT", 50)
    monkeypatch.setattr(frequencies, "KEPT_ALL", 50)
    monkeypatch.setattr(frequencies, "cap", lambda columns: 50)
    lost = by_name(process("metrics", frame, {}, tmp_path / "lost", parts=cut)[1].report)["day"]
    assert lost["gaps"] is None
    assert lost["accuracy"]["gaps"] == "not told"


def test_many_different_steps_are_told_approximately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "STEPS", Limits(kept=64, grain=16))
    start = datetime(2024, 1, 1)  # noqa: DTZ001 (a time without a zone)
    times = [start + timedelta(seconds=place * place) for place in range(500)]
    told = by_name(process("metrics", pl.DataFrame({"at": times}), {}, tmp_path, parts=3)[1].report)["at"]
    assert told["accuracy"]["gaps"] == {"label": "approximate", "figures": ["median_step", "irregular_steps"]}
    assert told["gaps"]["largest"]["step"] == "PT16M37S"
    assert told["gaps"]["steps"] == 499


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "PT0S"),
        (1, "PT0.000000001S"),
        (86_400 * 10**9, "P1D"),
        (90_061 * 10**9 + 500_000_000, "P1DT1H1M1.5S"),
        (3_600 * 10**9, "PT1H"),
        (86_460 * 10**9, "P1DT1M"),
    ],
)
def test_durations_are_written_in_iso_8601(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds, pl.Datetime("ns")) == text
