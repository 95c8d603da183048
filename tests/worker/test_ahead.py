"""When jobs are claimed ahead of the executors; what becomes of them is in `test_producer.py`."""

import pytest

from gristmill.worker.ahead import AHEAD_S, HELD_S, LOOKED_AT, MOST_EACH, Ahead


def after(*took: float) -> Ahead:
    ahead = Ahead()
    for lease, seconds in enumerate(took):
        ahead.begin(lease, now=0.0)
        ahead.end(lease, computed_s=seconds)
    return ahead


@pytest.mark.parametrize(
    ("seconds", "each"), [(0.0, MOST_EACH), (AHEAD_S / 100, MOST_EACH), (AHEAD_S / 3.5, 3), (AHEAD_S * 1.01, 0)]
)
def test_as_many_as_run_in_a_tenth_of_a_second_for_each_that_is_busy(seconds: float, each: int) -> None:
    ahead = after(*[seconds] * LOOKED_AT)
    assert ahead.places(waiting=0, now=0.0) == 0, "those that are idle have slots of their own"
    ahead.begin(100, now=10.0)
    ahead.begin(101, now=10.0)
    assert ahead.places(waiting=0, now=10.0) == 2 * each
    assert ahead.places(waiting=each, now=10.0) == each
    assert ahead.places(waiting=each + 1, now=10.0) == 0, "more than half are there"
    assert ahead.places(waiting=0, now=10.0 + HELD_S) == 0, "both turned out long"


def test_none_before_enough_is_known_nor_after_a_long_one() -> None:
    few = after(*[0.0] * (LOOKED_AT - 1))
    few.begin(100, now=0.0)
    assert few.places(waiting=0, now=0.0) == 0
    mixed = after(*[0.0] * LOOKED_AT, AHEAD_S * LOOKED_AT * 1.01)
    mixed.begin(100, now=0.0)
    assert mixed.places(waiting=0, now=0.0) == 0
    mixed.end(100, computed_s=None)
    assert mixed.places(waiting=0, now=0.0) == 0, "one that never computed tells nothing"


def test_one_that_waited_for_a_busy_executor_is_late_and_none_else() -> None:
    ahead = Ahead()
    for lease in (1, 2, 3):
        ahead.hold(lease, now=0.0)
    ahead.begin(2, now=0.0)
    ahead.forget(3)
    assert [lease for lease in (1, 2, 3) if ahead.is_late(lease, now=HELD_S * 1.01)] == [1]
    assert not ahead.is_late(1, now=HELD_S * 0.99)
