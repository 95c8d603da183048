"""Says that the worker and its attempts live, and hears what became of their leases. It never computes, so it is
never late because of a job."""

import asyncio
import os
import socket
from uuid import UUID

from gristmill import __version__
from gristmill.db.claims import send_heartbeats
from gristmill.db.engine import Database
from gristmill.db.paces import recent_paces
from gristmill.db.workers import register_worker
from gristmill.domain.left import Paces
from gristmill.settings import Settings
from gristmill.worker.attempt import Attempts, StopReason
from gristmill.worker.tasks import first_of


class HeartbeatSender:
    """One statement a round for all attempts. Its answer is the truth about leases and cancels; `hurry` asks early."""

    def __init__(
        self, settings: Settings, database: Database, worker_id: UUID, attempts: Attempts, paces: Paces
    ) -> None:
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._attempts = attempts
        self._paces = paces
        self._past_known = False
        self._asked = asyncio.Event()

    def hurry(self) -> None:
        self._asked.set()

    async def round(self) -> None:
        """Beat, then wait for the next time.

        Raises:
            DatabaseUnavailable: the jobs run on; whether their leases are still theirs, the fence will say.
        """
        self._asked.clear()
        await self._renew_leases()
        await register_worker(
            self._database,
            self._worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=self._settings.concurrency,
            version=__version__,
        )
        if not self._past_known:
            for pace in await recent_paces(self._database):
                self._paces.note(*pace)
            self._past_known = True
        await first_of(self._asked, timeout_s=self._settings.heartbeat_s)

    async def _renew_leases(self) -> None:
        beating = [(attempt, attempt.beat(self._paces)) for attempt in self._attempts if not attempt.decided]
        if not beating:
            return
        answers = await send_heartbeats(self._database, [beat for _, beat in beating], lease_s=self._settings.lease_s)
        for attempt, beat in beating:
            cancel_requested = answers.get(attempt.job.lease)
            if cancel_requested is None:
                attempt.ask_to_stop(StopReason.LEASE_LOST)
                continue
            attempt.told(beat.progress)
            if cancel_requested:
                attempt.ask_to_stop(StopReason.CANCELED)
