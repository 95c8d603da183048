"""The estimate of the time left: from jobs before it, from its own pace, or absent."""

import msgspec
import pytest

from gristmill.domain.job import Progress
from gristmill.domain.left import REMEMBERED, Paces, seconds_left


def left(done: int, *, total: int | None = 100, pace: float | None = None, elapsed_s: float = 10.0) -> float | None:
    return seconds_left(Progress("fit", done, total), work=1000, pace=pace, elapsed_s=elapsed_s, stage_s=elapsed_s)


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert left(0) is None
    assert left(50, total=None) is None
    assert b"seconds_left" not in msgspec.json.encode(Progress("fit", 1))


def test_its_own_pace() -> None:
    assert left(25) == pytest.approx(30)
    assert left(100) == 0


def test_the_pace_of_those_before() -> None:
    assert left(0, pace=20.0) == pytest.approx(40), "1000 rows at 20 a second, 10 s are gone"
    assert left(0, pace=20.0, elapsed_s=100.0) == 0


def test_the_further_it_is_the_more_its_own_pace_counts() -> None:
    # By its own pace 30 s of this stage are left; by those before, 90 s of all.
    assert left(25, pace=10.0) == pytest.approx(0.25 * 30 + 0.75 * 90)
    assert left(25, pace=1000.0) == pytest.approx(30), "never less than its own stage needs"


def test_the_median_of_the_last_is_typical() -> None:
    paces = Paces()
    assert paces.typical("metrics") is None
    paces.note("metrics", 10, 0.01)
    assert paces.typical("metrics") is None, "a tiny job tells of the start-up"
    for rate in (1000, 10, 20):
        paces.note("metrics", rate * 2, 2.0)
    assert paces.typical("metrics") == 20
    for _ in range(REMEMBERED):
        paces.note("metrics", 14, 2.0)
    assert paces.typical("metrics") == 7
