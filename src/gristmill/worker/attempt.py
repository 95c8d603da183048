"""The attempts a worker has under way, and what asks them to stop."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum

from gristmill.db.claims import Heartbeat
from gristmill.domain.dataset import DatasetInput
from gristmill.domain.job import Claim, Progress


class StopReason(StrEnum):
    CANCELED = "canceled"
    LEASE_LOST = "lease_lost"
    TIMED_OUT = "timed_out"


class Attempt:
    """One claimed job on its way from the claim to the record of its outcome."""

    def __init__(self, job: Claim) -> None:
        self.job = job
        # What it works on, once that is looked up.
        self.dataset: DatasetInput | None = None
        # The datasets that its params name, by param.
        self.others: Mapping[str, DatasetInput] = {}
        self.progress: Progress | None = None
        self.stop_reason: StopReason | None = None
        self._stop_asked: asyncio.Event | None = None
        # An executor has it, so there may be objects.
        self.began = False
        # Its outcome is decided: from here on the fence has the word, no heartbeat.
        self.decided = False
        self._began = time.monotonic()
        self._told: Progress | None = None

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    @property
    def stop_asked(self) -> asyncio.Event:
        """Set once there is a `stop_reason`. Most attempts end before anybody waits for it."""
        if self._stop_asked is None:
            self._stop_asked = asyncio.Event()
            if self.stop_reason is not None:
                self._stop_asked.set()
        return self._stop_asked

    def ask_to_stop(self, reason: StopReason) -> None:
        """The first reason counts."""
        if self.stop_reason is None and not self.decided:
            self.stop_reason = reason
            self.stop_asked.set()

    def beat(self) -> Heartbeat:
        changed = self.progress if self.progress != self._told else None
        return Heartbeat(self.job.id, self.job.lease, changed)

    def told(self, progress: Progress | None) -> None:
        """The database knows of this progress."""
        if progress is not None:
            self._told = progress


class Attempts:
    """All attempts of a worker by lease, those whose outcome is not recorded yet included."""

    def __init__(self) -> None:
        self._by_lease: dict[int, Attempt] = {}
        self.changed = asyncio.Event()

    def add(self, attempt: Attempt) -> None:
        self._by_lease[attempt.job.lease] = attempt

    def remove(self, attempt: Attempt) -> None:
        del self._by_lease[attempt.job.lease]
        self.changed.set()

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._by_lease.values()))

    def __len__(self) -> int:
        return len(self._by_lease)

    def __contains__(self, lease: int) -> bool:
        return lease in self._by_lease

    async def until_none(self) -> None:
        while self._by_lease:
            self.changed.clear()
            await self.changed.wait()
