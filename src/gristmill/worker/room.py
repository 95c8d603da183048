"""The memory of a worker, shared out to jobs by what they are likely to need.

A job that does not fit yet is held, claimed: its lease is kept alive with all others. It is not given back, because
that is a write and an event for each time, and whoever looks next claims it again; and it can't be left unclaimed,
because what it works on is looked up after the claim, and small jobs must not pay for a look before it. Others may
pass it, a stated number of times; then nothing begins before it does.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from gristmill.settings import MIB, Settings
from gristmill.worker.attempt import Attempt
from gristmill.worker.memory import usable_memory

# For each slot: how often the first in line is passed before it waits for the jobs that run and for nothing else, and
# how many are held before no more are claimed.
MOST_PASSES = 8
MOST_HELD = 2


def memory_to_share(settings: Settings) -> int:
    """Bytes that running jobs may need together: as set, or all budgets as far as the machine has them."""
    if settings.worker_memory_mb is not None:
        return settings.worker_memory_mb * MIB
    budgets = settings.concurrency * settings.executor_memory_mb * MIB
    usable = usable_memory()
    return budgets if usable is None else min(budgets, usable)


class Room:
    """Attempts that wait, in order, and the memory they wait for. The first in line with nothing running always fits:
    a job that is likely to need more than there is runs alone, and its budget decides.
    """

    def __init__(self, total: int, *, budget: int, slots: int) -> None:
        self._total = total
        self._budget = budget
        self._most_passes = MOST_PASSES * slots
        self._most_held = MOST_HELD * slots
        self._line: deque[Attempt] = deque()
        self._taken: dict[int, int] = {}
        self._passes = 0

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Attempt]:
        """Those who wait, the first in line first."""
        return iter(list(self._line))

    @property
    def held(self) -> Sequence[Attempt]:
        """Those in line that may be held until there is memory for them."""
        return list(self._line)[: self._most_held]

    @property
    def open(self) -> bool:
        """Whether a job that joins now may begin, if it is small enough."""
        return not self._line or (self._passes < self._most_passes and len(self._line) < self._most_held)

    def join(self, attempt: Attempt, *, first: bool = False) -> None:
        """Wait in line."""
        attempt.need = min(attempt.need, self._budget)  # over its budget it is killed, so it never takes more
        if first:
            self._line.appendleft(attempt)
        else:
            self._line.append(attempt)

    def leave(self, attempt: Attempt) -> None:
        """Wait no more."""
        if self._line[0] is attempt:
            self._passes = 0
        self._line.remove(attempt)

    def admit(self) -> Attempt | None:
        """The next one to begin; its memory is taken until `release`."""
        if not self._line:
            return None
        if self._fits(self._line[0]):
            chosen = self._line[0]
        elif self._passes < self._most_passes:
            fitting = (attempt for attempt in self._line if self._fits(attempt))
            found = next(fitting, None)
            if found is None:
                return None
            chosen = found
            self._passes += 1
        else:
            return None
        self.leave(chosen)
        self._taken[chosen.job.lease] = chosen.need
        return chosen

    def release(self, attempt: Attempt) -> None:
        """What it took is free again."""
        del self._taken[attempt.job.lease]

    def _fits(self, attempt: Attempt) -> bool:
        return not self._taken or sum(self._taken.values()) + attempt.need <= self._total
