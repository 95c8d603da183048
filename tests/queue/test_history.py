"""The checker of histories reports what it is there for: one that can't fail proves nothing."""

from uuid import UUID

import pytest

from tests.queue.history import Event, JobEnd, broken

JOB = UUID(int=1)
GOOD = [("created", 0, None), ("claimed", 1, 5), ("completed", 1, 5)]


def told(*steps: tuple[str, int, int | None], status: str = "completed", most: int = 2) -> list[str]:
    events = [Event(JOB, n, *step) for n, step in enumerate(steps)]
    return [fault.partition(":")[0] for fault in broken(events, [JobEnd(JOB, status, most)], [JOB])]


def test_a_good_history_is_good() -> None:
    assert told(*GOOD) == []
    assert (
        told(("created", 0, None), ("claimed", 1, 5), ("retrying", 1, 5), ("claimed", 2, 6), ("completed", 2, 6)) == []
    )
    assert told(("created", 0, None), ("completed", 0, None)) == []


@pytest.mark.parametrize(
    ("steps", "status", "fault"),
    [
        (GOOD[:2], "running", "lost"),
        ([*GOOD, ("completed", 1, 5)], "completed", "committed twice"),
        ([*GOOD[:2], ("claimed", 2, 6), ("completed", 2, 6)], "completed", "two attempts at once"),
        ([*GOOD[:2], ("completed", 1, 4)], "completed", "an end under a lease that was not held"),
        ([*GOOD, ("claimed", 2, 6)], "completed", "claimed after the end"),
        ([GOOD[0], ("claimed", 3, 5), ("completed", 3, 5)], "completed", "more attempts than allowed"),
        (GOOD, "failed", "the history does not end as the job does"),
        ([*GOOD[:2], ("retrying", 1, 5), ("claimed", 2, 5), GOOD[2]], "completed", "a lease was given twice"),
    ],
)
def test_a_forged_history_is_found_out(steps: list[tuple[str, int, int | None]], status: str, fault: str) -> None:
    assert fault in told(*steps, status=status)


def test_a_job_that_is_not_there_is_lost() -> None:
    assert broken([], [], [JOB]) == [f"lost: {JOB}"]
