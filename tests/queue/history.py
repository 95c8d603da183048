"""What must never be seen in the history of a queue, whatever happened to its workers and servers."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from gristmill.db.engine import Database

EVENTS = "SELECT job_id, id, type, attempt, lease FROM job_events ORDER BY job_id, id"
JOBS = "SELECT id, status, max_attempts FROM jobs"
ENDS = {"completed", "failed", "canceled", "retrying", "interrupted", "snoozed"}
FINAL = {"completed", "failed", "canceled"}


class Event(NamedTuple):
    job_id: UUID
    id: int
    type: str
    attempt: int
    lease: int | None


@dataclass(frozen=True)
class JobEnd:
    id: UUID
    status: str
    max_attempts: int


async def violations(database: Database, acknowledged: Iterable[UUID]) -> list[str]:
    """Every broken invariant of a drained queue; `acknowledged` are the jobs whose submission was answered."""
    async with database.driver() as driver:
        events = [Event(*record) for record in await driver.fetch(EVENTS)]
        jobs = [JobEnd(*record) for record in await driver.fetch(JOBS)]
    return broken(events, jobs, acknowledged)


def broken(events: Iterable[Event], jobs: Iterable[JobEnd], acknowledged: Iterable[UUID]) -> list[str]:
    by_job: dict[UUID, list[Event]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event)
    ends = {job.id: job for job in jobs}
    found = [f"lost: {job_id}" for job_id in acknowledged if job_id not in ends or ends[job_id].status not in FINAL]
    leases = [event.lease for history in by_job.values() for event in history if event.type == "claimed"]
    found += ["a lease was given twice"] * (len(leases) - len(set(leases)))
    for job_id, history in by_job.items():
        found += [f"{fault}: {job_id}" for fault in _faults(history, ends.get(job_id))]
    return found


def _faults(history: list[Event], job: JobEnd | None) -> list[str]:
    faults: list[str] = []
    holding: int | None = None
    final = False
    for event in history:
        if final and event.type not in ("resubmitted",):
            faults.append(f"{event.type} after the end")
        if event.type == "claimed":
            if holding is not None:
                faults.append("two attempts at once")
            holding = event.lease
            if job is not None and event.attempt > job.max_attempts:
                faults.append("more attempts than allowed")
        elif event.type in ENDS:
            if event.lease is not None and event.lease != holding:
                faults.append("an end under a lease that was not held")
            if event.type == "completed" and event.lease is None and holding is not None:
                faults.append("a result without a lease")
            holding = None
        final = event.type in FINAL
    if sum(event.type == "completed" for event in history) > 1:
        faults.append("committed twice")
    if job is not None and job.status in FINAL and (not history or history[-1].type != job.status):
        faults.append("the history does not end as the job does")
    return faults
