"""The seam between claiming and computing: the producer fills free slots, whoever computes empties them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill.db.inputs import Inputs
from gristmill.domain.outcome import Failed, Interrupted
from gristmill.errors import InputFailed, Unavailable
from gristmill.worker.attempt import Attempt
from gristmill.worker.completer import Completer


class Slots(Protocol):
    """Where claimed jobs go."""

    @property
    def free(self) -> int:
        """How many jobs could begin now."""
        ...

    async def fill(self, attempts: Sequence[Attempt]) -> None:
        """Begin these attempts, at most as many as were `free`. Each ends in the completer."""
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
    """One slot for each executor that waits for a job. Executors `take`; `on_free` is called when one begins to."""

    def __init__(self, inputs: Inputs, completer: Completer, *, on_free: Callable[[], None]) -> None:
        self._inputs = inputs
        self._completer = completer
        self._on_free = on_free
        self._offered: asyncio.Queue[Attempt] = asyncio.Queue()
        self._waiting = 0

    @property
    def free(self) -> int:
        """Executors that wait for a job and have none coming."""
        return max(0, self._waiting - self._offered.qsize())

    async def take(self) -> Attempt:
        """The next job for an executor that is ready for it."""
        self._waiting += 1
        self._on_free()
        try:
            return await self._offered.get()
        finally:
            self._waiting -= 1

    def put_back(self, attempt: Attempt) -> None:
        """Offer an attempt again that its executor could not begin."""
        self._offered.put_nowait(attempt)

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
                gone = InputFailed("The job whose result it takes as data has none any more.")
                await self._completer.submit(attempt, Failed(gone.problem()))
            elif named is None:
                gone = InputFailed("A dataset that its params name was removed.")
                await self._completer.submit(attempt, Failed(gone.problem()))
            else:
                attempt.others = named
                self._offered.put_nowait(attempt)
