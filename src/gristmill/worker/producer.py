"""Claims jobs for free slots, never more than there are; and for those that are free in a moment (see `ahead.py`)."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

from gristmill import metrics
from gristmill.db.claims import Claimer, held_jobs
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending, record_outcomes
from gristmill.domain.job import Claim
from gristmill.domain.outcome import Interrupted
from gristmill.domain.sharing import Lane
from gristmill.errors import Unavailable
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.tracing import trace_fields
from gristmill.worker.attempt import Attempt, Attempts
from gristmill.worker.completer import Completer
from gristmill.worker.slots import Slots
from gristmill.worker.tasks import Backoff, first_of, jittered

log = get_logger(__name__)

# A claim of more would hold its rows longer without costing less a job.
MOST_AT_ONCE = 1000


class Producer:
    """Owns the set of a worker's attempts: it alone adds to it."""

    def __init__(
        self, settings: Settings, database: Database, worker_id: UUID, attempts: Attempts, completer: Completer
    ) -> None:
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._attempts = attempts
        self._completer = completer
        self._claimer = Claimer(database, worker_id, lease_s=settings.lease_s)
        self._backoff = Backoff("producer", worker_id)
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._unsure = False
        # What has been heard of since the last claim: lanes, or None for "something, somewhere".
        self._heard: set[Lane | None] = {None}
        # The last claim left slots free: there was nothing more.
        self._idle = False
        # When to look at all lanes, whatever is heard of until then: wake-ups get lost, delayed jobs become due.
        self._look_at = 0.0

    def hurry(self, lane: Lane | None = None) -> None:
        """There may be something to claim, in this lane or anywhere."""
        self._heard.add(lane)
        self._awake.set()

    def slot_freed(self) -> None:
        """There is a free slot more. While the queue is empty that is no reason to look: a new job is heard of."""
        if not self._idle or not self._settings.listen_notify:
            self._heard.add(None)
        self._awake.set()

    def stop(self) -> None:
        """Claim no more. A claim under way is awaited by `run`, and what it brings is given back."""
        self._stopping.set()

    def doubt(self) -> None:
        """A claim's answer was lost: the database may count jobs as ours that we know nothing of."""
        self._unsure = True

    async def run(self, slots: Slots) -> None:
        while not self._stopping.is_set():
            try:
                await self._step(slots)
            except Unavailable as error:
                self.doubt()
                self._heard.add(None)
                await self._backoff.wait(error)
            else:
                self._backoff.reset()

    async def release_strays(self) -> None:
        """Give back what the database counts as ours and we know nothing of."""
        if not self._unsure:
            return
        held = await held_jobs(self._database, self._worker_id)
        strays = [Ending(job_id, lease, Interrupted()) for lease, job_id in held.items() if lease not in self._attempts]
        if strays:
            await record_outcomes(self._database, strays)
        self._unsure = False

    async def _step(self, slots: Slots) -> None:
        self._awake.clear()
        # Jobs that only wait would take the places that a limit leaves to other workers.
        soon = 0 if self._claimer.limited else slots.soon
        free = min(slots.free + soon, MOST_AT_ONCE)
        if not free:
            await first_of(self._awake, self._stopping)
            return
        await self.release_strays()
        if time.monotonic() >= self._look_at:
            self._heard.add(None)
        if self._heard:
            jobs = await self._claim(free)
            self._idle = len(jobs) < free
            await self._begin(jobs, slots)
        if self._idle:
            await self._rest()
        else:
            self._heard.add(None)

    async def _claim(self, free: int) -> list[Claim]:
        heard, self._heard = self._heard, set()
        lane = next(iter(heard))
        if self._idle and lane is not None and len(heard) == 1:
            return await self._claimer.claim_hinted(lane, free)
        jobs = await self._claimer.claim(free)
        due_s = self._claimer.next_due_s
        poll_s = jittered(self._settings.poll_s)
        self._look_at = time.monotonic() + (poll_s if due_s is None else min(poll_s, due_s))
        return jobs

    async def _begin(self, jobs: Sequence[Claim], slots: Slots) -> None:
        _count(jobs)
        attempts = [Attempt(job) for job in jobs]
        for attempt in attempts:
            self._attempts.add(attempt)
        if self._stopping.is_set():
            for attempt in attempts:
                await self._completer.submit(attempt, Interrupted())
            return
        for job in jobs if log.is_enabled_for(logging.INFO) else ():
            traced = trace_fields(job.traceparent)
            log.info("job.claimed", job_id=str(job.id), kind=job.kind, attempt=job.attempt, lease=job.lease, **traced)
        if attempts:
            await slots.fill(attempts)

    async def _rest(self) -> None:
        """Until something is heard of, or it is time to look."""
        await first_of(self._awake, self._stopping, timeout_s=max(0.0, self._look_at - time.monotonic()))


def _count(jobs: Sequence[Claim]) -> None:
    """Note a batch of claims; what is done for each job is done in C (a job has 25 us)."""
    kinds = Counter(map(_kind_of, jobs))
    for kind, number in kinds.items():
        of_kind = jobs if len(kinds) == 1 else [job for job in jobs if job.kind == kind]
        label = metrics.KINDS.label(kind)
        metrics.CLAIMED.labels(label).inc(number)
        metrics.WAIT_SECONDS.observe_all(list(map(_waited, of_kind)), label)


_kind_of = attrgetter("kind")
_waited = attrgetter("waited_s")
