"""When a recurring job is due: five-field cron in a time zone. Pure.

Clock changes are taken as Debian's cron takes them. A time of day that is skipped in spring is due when the clock has
jumped; one that comes twice in autumn is due the first time; `*` and `*/n` fields count on through both.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from gristmill.errors import Fault, InvalidRequest

MOST_MISSED = 100
FIELDS = 5
LONG = timedelta(days=1)


class MissedPolicy(StrEnum):
    """What becomes of times at which nobody was there to fire.

    skip: nothing. once: one job for all of them. all: one job each, the latest `MOST_MISSED` of them.
    """

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


def check(cron: str, time_zone: str) -> None:
    """Raises InvalidRequest, pointing at what can't be read or never comes."""
    faults = []
    zone = _zone(time_zone)
    if zone is None:
        faults.append(Fault("/time_zone", "It is no time zone of the IANA database, such as Europe/Berlin."))
    if len(cron.split()) != FIELDS:
        faults.append(Fault("/cron", "Five fields: minute, hour, day of month, month, day of week."))
    else:
        try:
            next(CronSim(cron, datetime.now(zone or UTC)))
        except CronSimError as error:
            faults.append(Fault("/cron", f"{error}."))
        except StopIteration:
            faults.append(Fault("/cron", "It never comes."))
    if faults:
        raise InvalidRequest("The schedule does not fit.", errors=tuple(faults))


def times_after(cron: str, time_zone: str, after: datetime, count: int) -> list[datetime]:
    """The next `count` times after a moment, in UTC. Both texts have passed `check`."""
    found = islice(CronSim(cron, after.astimezone(_zone(time_zone) or UTC)), count)
    return [moment.astimezone(UTC) for moment in found]


def due_times(
    cron: str, time_zone: str, *, next_at: datetime, now: datetime, late_s: float, missed: MissedPolicy
) -> tuple[list[datetime], datetime]:
    """What is to be fired now (oldest first) and when the schedule is due next, in the future.

    `next_at` is the first time that has not been fired. A time that is at most `late_s` seconds ago was not missed.
    """
    due: list[datetime] = []
    upcoming = _not_long_before(cron, time_zone, next_at=next_at, now=now)
    while upcoming <= now:
        due = [*due[1 - MOST_MISSED :], upcoming]
        (upcoming,) = times_after(cron, time_zone, upcoming, 1)
    if missed is MissedPolicy.ONCE:
        due = due[-1:]
    elif missed is MissedPolicy.SKIP:
        due = [moment for moment in due[-1:] if (now - moment).total_seconds() <= late_s]
    return due, upcoming


def _not_long_before(cron: str, time_zone: str, *, next_at: datetime, now: datetime) -> datetime:
    """The first time to look at: after a long pause not `next_at`, but one that leaves `MOST_MISSED` until now."""
    if now - next_at < LONG:
        return next_at
    back = CronSim(cron, now.astimezone(_zone(time_zone) or UTC), reverse=True)
    earliest = [moment.astimezone(UTC) for moment in islice(back, MOST_MISSED)][-1]
    return max(next_at, earliest)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
