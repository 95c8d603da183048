"""How the side tasks of a worker live: a lost service is waited for, a defect ends the task."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from gristmill.domain.retry import backoff_s
from gristmill.errors import Unavailable
from gristmill.telemetry import get_logger

log = get_logger(__name__)

BACKOFF_BASE_S = 0.2
BACKOFF_CAP_S = 2.0

Counts = Mapping[str, int]


class Chore(Protocol):
    """Something that is done again and again, by every worker; each finds for itself what is left to do."""

    @property
    def name(self) -> str: ...

    @property
    def interval(self) -> float:
        """Seconds between two runs, before jitter."""
        ...

    async def run_once(self) -> Counts:
        """Do what there is to do now. Answers how many of what was done, for the log."""
        ...


class Backoff:
    """Waits longer from failure to failure, until `reset`."""

    def __init__(self, task: str, worker_id: UUID) -> None:
        self._task = task
        self._worker_id = worker_id
        self._failures = 0
        self._rng = random.Random()

    def reset(self) -> None:
        self._failures = 0

    async def wait(self, error: Unavailable) -> None:
        self._failures += 1
        delay_s = backoff_s(self._failures, base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S, rng=self._rng)
        log.warning(
            "worker.backoff",
            worker_id=str(self._worker_id),
            task=self._task,
            error=error.code,
            delay_s=round(delay_s, 3),
        )
        await asyncio.sleep(delay_s)


async def persist(task: str, worker_id: UUID, step: Callable[[], Awaitable[None]]) -> None:
    """Do `step` for ever. While a service is away, wait with backoff and jitter; anything else ends the task."""
    backoff = Backoff(task, worker_id)
    while True:
        try:
            await step()
        except Unavailable as error:
            await backoff.wait(error)
        else:
            backoff.reset()


async def run_chore(chore: Chore, worker_id: UUID) -> None:
    async def step() -> None:
        await asyncio.sleep(jittered(chore.interval))
        counts = await chore.run_once()
        if any(counts.values()):
            log.info("chore.ran", chore=chore.name, counts=dict(counts))

    await persist(chore.name, worker_id, step)


def jittered(seconds: float) -> float:
    """Between half and the whole of it: workers started together do not stay in step."""
    return seconds * random.uniform(0.5, 1.0)


async def first_of(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until one of the events is set, or the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiting:
            waiter.cancel()
