"""The seam between claiming and computing: the producer fills free slots, whoever computes empties them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill.db.inputs import Inputs
from gristmill.domain.dataset import DatasetInput
from gristmill.domain.job import Claim
from gristmill.domain.memory import need_of
from gristmill.domain.outcome import Canceled, Failed, Interrupted
from gristmill.errors import InputFailed, Unavailable
from gristmill.telemetry import get_logger
from gristmill.worker.ahead import Ahead
from gristmill.worker.attempt import Attempt, StopReason
from gristmill.worker.completer import Completer
from gristmill.worker.room import Room

log = get_logger(__name__)


class Slots(Protocol):
    """Where claimed jobs go."""

    @property
    def free(self) -> int:
        """How many jobs could begin now."""
        ...

    @property
    def soon(self) -> int:
        """How many more are likely to begin in a moment, when those before them have ended."""
        ...

    async def fill(self, attempts: Sequence[Attempt]) -> None:
        """Begin these attempts, at most as many as were `free` or `soon` to be. Each ends in the completer."""
        ...


@dataclass(frozen=True)
class Crew:
    """Those who compute: the slots they empty, and the tasks that do it."""

    slots: Slots
    tasks: Sequence[Coroutine[Any, Any, None]] = ()


class Hire(Protocol):
    """Makes a worker's crew. `on_free` is to be called when a slot becomes free."""

    def __call__(self, completer: Completer, *, on_free: Callable[[], None]) -> Crew: ...


class ExecutorSlots:
    """One slot for each executor that waits for a job. Executors `take`; `on_free` is called when there is one more.

    A job begins when it fits into the worker's memory beside those that run. While jobs are short, some are claimed
    ahead and wait in line (see `ahead.py`).
    """

    def __init__(self, inputs: Inputs, completer: Completer, room: Room, *, on_free: Callable[[], None]) -> None:
        self._inputs = inputs
        self._completer = completer
        self._room = room
        self._on_free = on_free
        self._takers: deque[asyncio.Future[Attempt]] = deque()
        self._ahead = Ahead()

    @property
    def free(self) -> int:
        """Executors that wait for a job: none is coming to them, or only such as others may pass."""
        return len(self._takers) if self._room.open else 0

    @property
    def soon(self) -> int:
        """Jobs that are missing in line for busy executors, while jobs are short."""
        if self._takers and not self._room.open:
            return 0
        return self._ahead.places(waiting=len(self._room), now=time.monotonic())

    def take_ready(self) -> Attempt | None:
        """As `take`, where a job is there already."""
        if self._takers or (attempt := self._room.admit()) is None:
            return None
        self._ahead.begin(attempt.job.lease, now=time.monotonic())
        self._on_free()
        return attempt

    async def take(self) -> Attempt:
        """The next job for an executor that is ready for it. Its memory is taken until `release`."""
        taker: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._hand_out()
        self._on_free()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker in self._takers:
                self._takers.remove(taker)
            elif not taker.cancelled():
                self.put_back(taker.result())
            raise

    def put_back(self, attempt: Attempt) -> None:
        """Offer an attempt again that its executor could not begin."""
        self._set_free(attempt, computed_s=None)
        self._room.join(attempt, first=True)
        self._hand_out()

    def release(self, attempt: Attempt) -> None:
        """Nothing runs for it any more: its memory is free for others."""
        was_open = self._room.open
        self._set_free(attempt, computed_s=attempt.computed_s if attempt.began else None)
        self._hand_out()
        if self._room.open and not was_open and self._takers:
            self._on_free()

    async def fill(self, attempts: Sequence[Attempt]) -> None:
        """Look up what the jobs work on and offer them.

        Raises:
            DatabaseUnavailable: all of them are given back.
        """
        try:
            data = await self._inputs.of(attempt.job for attempt in attempts)
            others = {
                attempt.job.id: await self._inputs.others(attempt.job) for attempt in attempts if attempt.job.sources
            }
        except Unavailable:
            for attempt in attempts:
                await self._completer.submit(attempt, Interrupted())
            raise
        for attempt in attempts:
            attempt.dataset, named = data.get(attempt.job.id), others.get(attempt.job.id, {})
            if attempt.dataset is None:
                gone = InputFailed("What it works on is not there, or no more.")
                await self._completer.submit(attempt, Failed(gone.problem()))
            elif named is None:
                gone = InputFailed("A dataset that its params name was removed.")
                await self._completer.submit(attempt, Failed(gone.problem()))
            else:
                attempt.others = named
                attempt.need = _need(attempt.job, attempt.dataset)
                self._room.join(attempt)
                self._ahead.hold(attempt.job.lease, now=time.monotonic())
        self._hand_out()

    async def tend(self) -> None:
        """End those in line that are asked to stop, and give back those claimed ahead that wait for too long: no
        executor is needed for it.
        """
        for attempt in self._room:
            if attempt not in self._room:  # it has begun meanwhile
                continue
            if attempt.stop_reason is StopReason.CANCELED:
                self._send_off(attempt)
                await self._completer.submit(attempt, Canceled())
            elif attempt.stop_reason is not None:
                self._send_off(attempt)
                self._completer.drop(attempt)
            elif self._ahead.is_late(attempt.job.lease, now=time.monotonic()):
                self._send_off(attempt)
                await self._completer.submit(attempt, Interrupted())

    def _send_off(self, attempt: Attempt) -> None:
        self._ahead.forget(attempt.job.lease)
        self._room.leave(attempt)
        self._hand_out()

    def _set_free(self, attempt: Attempt, *, computed_s: float | None) -> None:
        self._room.release(attempt)
        self._ahead.end(attempt.job.lease, computed_s=computed_s)

    def _hand_out(self) -> None:
        while self._takers:
            if self._takers[0].done():  # canceled, and its task does not know yet
                self._takers.popleft()
            elif (attempt := self._room.admit()) is not None:
                self._ahead.begin(attempt.job.lease, now=time.monotonic())
                self._takers.popleft().set_result(attempt)
            else:
                self._note_held()
                return

    def _note_held(self) -> None:
        """Executors wait as well: those in line wait for memory, whatever they waited for before.

        Of those claimed ahead, as many as may be held; the rest is given back in time.
        """
        for attempt in self._room.held:
            self._ahead.forget(attempt.job.lease)
            if attempt.held_first():
                log.info("job.held", job_id=str(attempt.job.id), lease=attempt.job.lease, bytes=attempt.need)


def _need(job: Claim, dataset: DatasetInput) -> int:
    return need_of(
        job.kind, bytes(job.params), columns=dataset.columns, rows=dataset.rows, size_bytes=dataset.size_bytes
    )
