"""A schedule's times come in order, through clock changes, and missed ones are handled as its policy says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.domain.schedule import MOST_MISSED, MissedPolicy, check, due_times, times_after
from gristmill.errors import InvalidRequest

EARLIEST, LATEST = (datetime.fromisoformat(f"{year}-01-01T00:00:00") for year in (2000, 2090))
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)

# Hypothesis wants its bounds without a zone.
MOMENTS = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))


@given(
    moment=MOMENTS,
    cron=st.sampled_from(["* * * * *", "*/7 2 * * *", "0 0 29 2 *", "30 2 * * 0", "5 4 1-7 */2 1"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_times_are_in_the_future_and_in_order(moment: datetime, cron: str, zone: str) -> None:
    times = times_after(cron, zone, moment, 3)
    assert moment < times[0] < times[1] < times[2]


def test_a_time_that_is_skipped_in_spring_comes_when_the_clock_has_jumped() -> None:
    after = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert times_after("30 2 * * *", "Europe/Berlin", after, 2) == [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
    ]


def test_a_time_that_comes_twice_in_autumn_is_due_once() -> None:
    after = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    assert times_after("30 2 * * *", "Europe/Berlin", after, 2) == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("late", "missed", "fired"),
    [
        (timedelta(seconds=2), MissedPolicy.SKIP, 1),
        (timedelta(minutes=5, seconds=30), MissedPolicy.SKIP, 0),
        (timedelta(minutes=5), MissedPolicy.ONCE, 1),
        (timedelta(minutes=5), MissedPolicy.ALL, 6),
        (timedelta(days=1), MissedPolicy.ALL, MOST_MISSED),
        (timedelta(days=4000), MissedPolicy.ALL, MOST_MISSED),
        (timedelta(days=4000), MissedPolicy.ONCE, 1),
        (timedelta(seconds=-30), MissedPolicy.ALL, 0),
    ],
)
def test_missed_times(late: timedelta, missed: MissedPolicy, fired: int) -> None:
    due, upcoming = due_times("* * * * *", "UTC", next_at=NOON, now=NOON + late, late_s=10, missed=missed)
    assert len(due) == fired
    assert due == sorted(set(due))
    assert upcoming > NOON + late
    if missed is MissedPolicy.ALL and due:
        assert upcoming - due[-1] == timedelta(minutes=1), "the latest ones, without a gap"


@pytest.mark.parametrize(
    ("cron", "zone", "pointer"),
    [
        ("* * * *", "UTC", "/cron"),
        ("* * * * * *", "UTC", "/cron"),
        ("61 * * * *", "UTC", "/cron"),
        ("0 0 31 2 *", "UTC", "/cron"),
        ("@daily", "UTC", "/cron"),
        ("* * * * *", "Mars/Olympus", "/time_zone"),
        ("* * * * *", "../etc/passwd", "/time_zone"),
        ("* * * * *", "", "/time_zone"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, zone: str, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(cron, zone)
    assert [fault.pointer for fault in refused.value.errors] == [pointer]
