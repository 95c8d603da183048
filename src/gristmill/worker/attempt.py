"""The attempts a worker has under way, and what asks them to stop."""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from gristmill.db.claims import Heartbeat
from gristmill.domain.dataset import DatasetInput
from gristmill.domain.job import Claim, Progress
from gristmill.domain.left import Paces, seconds_left, work_of
from gristmill.tracing import Tracer
from gristmill.worker.trace import AttemptTrace


class StopReason(StrEnum):
    CANCELED = "canceled"
    LEASE_LOST = "lease_lost"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    OVER_MEMORY = "over_memory"


class Attempt:
    """One claimed job on its way from the claim to the record of its outcome."""

    def __init__(self, job: Claim) -> None:
        self.job = job
        # What it works on, once that is looked up.
        self.dataset: DatasetInput | None = None
        # The datasets that its params name, by param.
        self.others: Mapping[str, DatasetInput] = {}
        self.progress: Progress | None = None
        # By this process's clock: when an executor began with it, and when it last got on.
        self.computing_since = 0.0
        self.moved_at = 0.0
        self._stage_since = 0.0
        # How long its executor had it.
        self.computed_s = 0.0
        # Bytes of memory that it will need, by estimate, and the most that its executor was seen to hold.
        self.need = 0
        self.peak = 0
        # Its spans, where anybody wants to know.
        self.trace: AttemptTrace | None = None
        self._held = False
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

    def begin(self) -> None:
        """An executor begins with it."""
        self.began = True
        self.computing_since = self.moved_at = time.monotonic()

    def end(self) -> float:
        """Its executor has ended with it, after so many seconds."""
        self.computed_s = time.monotonic() - self.computing_since
        return self.computed_s

    def advance(self, progress: Progress) -> None:
        """It got so far."""
        if progress == self.progress:
            return
        self.moved_at = time.monotonic()
        if self.progress is None or progress.stage != self.progress.stage:
            self._stage_since = self.moved_at
        self.progress = progress

    def held_first(self) -> bool:
        """Note that it has to wait for memory. Answers whether that is new."""
        before, self._held = self._held, True
        return not before

    def note_pace(self, paces: Paces) -> None:
        """It is done: what it took tells of those to come."""
        if self.dataset is not None:
            paces.note(self.job.kind, work_of(self.dataset), self.computed_s)

    def ask_to_stop(self, reason: StopReason) -> None:
        """The first reason counts."""
        if self.stop_reason is None and not self.decided:
            self.stop_reason = reason
            self.stop_asked.set()

    def beat(self, paces: Paces) -> Heartbeat:
        """Its sign of life; with its progress, and a guess at what is left, where that has changed."""
        changed = None
        if self.progress is not None and self.progress != self._told:
            changed = self._estimated(self.progress, paces)
        return Heartbeat(self.job.id, self.job.lease, changed)

    def told(self, progress: Progress | None) -> None:
        """The database knows of this progress."""
        if progress is not None:
            self._told = msgspec.structs.replace(progress, seconds_left=msgspec.UNSET)

    def _estimated(self, progress: Progress, paces: Paces) -> Progress:
        assert self.dataset is not None  # noqa: S101 (an executor has it)
        now = time.monotonic()
        left = seconds_left(
            progress,
            work=work_of(self.dataset),
            pace=paces.typical(self.job.kind),
            elapsed_s=now - self.computing_since,
            stage_s=now - self._stage_since,
        )
        return progress if left is None else msgspec.structs.replace(progress, seconds_left=math.ceil(left))


class Attempts:
    """All attempts of a worker by lease, those whose outcome is not recorded yet included."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self._by_lease: dict[int, Attempt] = {}
        self.none_left = asyncio.Event()

    def add(self, attempt: Attempt) -> None:
        self._by_lease[attempt.job.lease] = attempt
        if self._tracer is not None:
            attempt.trace = AttemptTrace(self._tracer, attempt.job)

    def remove(self, attempt: Attempt) -> None:
        del self._by_lease[attempt.job.lease]
        if not self._by_lease:
            self.none_left.set()

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._by_lease.values()))

    def __len__(self) -> int:
        return len(self._by_lease)

    def __contains__(self, lease: int) -> bool:
        return lease in self._by_lease

    async def until_none(self) -> None:
        while self._by_lease:
            self.none_left.clear()
            await self.none_left.wait()
