"""Claims jobs for free executors, never more than there are."""

import asyncio
from uuid import UUID

from gristmill.db.claims import Ending, claim_jobs, held_jobs, next_due_s, record_outcomes
from gristmill.db.engine import Database
from gristmill.domain.job import ClaimedJob
from gristmill.domain.outcome import Interrupted
from gristmill.errors import Unavailable
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.attempt import Attempt, Attempts
from gristmill.worker.completer import Completer
from gristmill.worker.tasks import Backoff, first_of, jittered

log = get_logger(__name__)


class Producer:
    """Owns the set of a worker's attempts: it alone adds to it. Executors `take` from it; `awake` hurries it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        worker_id: UUID,
        attempts: Attempts,
        completer: Completer,
        *,
        awake: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._attempts = attempts
        self._completer = completer
        self._backoff = Backoff("producer", worker_id)
        self._offered: asyncio.Queue[Attempt] = asyncio.Queue()
        self._waiting = 0
        self._awake = awake
        self._stopping = asyncio.Event()
        self._unsure = False

    @property
    def free(self) -> int:
        """Executors that wait for a job and have none coming."""
        return max(0, self._waiting - self._offered.qsize())

    async def take(self) -> Attempt:
        """The next job for an executor that is ready for it."""
        self._waiting += 1
        self.hurry()
        try:
            return await self._offered.get()
        finally:
            self._waiting -= 1

    def put_back(self, attempt: Attempt) -> None:
        """Offer an attempt again that its executor could not begin."""
        self._offered.put_nowait(attempt)

    def hurry(self) -> None:
        """There may be something to claim."""
        self._awake.set()

    def stop(self) -> None:
        """Claim no more. A claim under way is awaited by `run`, and what it brings is given back."""
        self._stopping.set()

    def doubt(self) -> None:
        """A claim's answer was lost: the database may count jobs as ours that we know nothing of."""
        self._unsure = True

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._step()
            except Unavailable as error:
                self.doubt()
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

    async def _step(self) -> None:
        self._awake.clear()
        free = self.free
        if not free:
            await first_of(self._awake, self._stopping)
            return
        await self.release_strays()
        jobs = await claim_jobs(self._database, worker_id=self._worker_id, limit=free, lease_s=self._settings.lease_s)
        for job in jobs:
            await self._offer(job)
        if len(jobs) < free:
            await self._rest()

    async def _offer(self, job: ClaimedJob) -> None:
        attempt = Attempt(job)
        self._attempts.add(attempt)
        if self._stopping.is_set():
            await self._completer.submit(attempt, Interrupted())
            return
        log.info("job.claimed", job_id=str(job.id), kind=job.kind, attempt=job.attempt, lease=job.lease)
        self._offered.put_nowait(attempt)

    async def _rest(self) -> None:
        poll_s = jittered(self._settings.poll_s)
        due_s = await next_due_s(self._database, within_s=poll_s)
        await first_of(self._awake, self._stopping, timeout_s=poll_s if due_s is None else due_s)
