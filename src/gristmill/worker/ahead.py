"""How far a worker claims ahead of its executors: while jobs are short, what they run in the next tenth of a second.

Between two short jobs an executor would wait for the next claim, which can take as long as a job does. A job that is
claimed ahead counts as running. It is given back, untouched, where the job before it turns out long.
"""

from collections import deque

# What the last so many jobs of a worker took tells of the next one.
LOOKED_AT = 8
# How much work is claimed ahead for each busy executor, and how many jobs that is at most. Of one job alone, a third
# of the next ones were late: the executors take turns at what is there.
AHEAD_S = 0.1
MOST_EACH = 8
# How long a job waits for busy executors before it is given back; for one that is busy for longer nothing is claimed.
HELD_S = 0.25


class Ahead:
    """What a worker's last jobs say of those to come. Times are by this process's clock."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=LOOKED_AT)
        self._busy: dict[int, float] = {}
        self._held: dict[int, float] = {}

    def begin(self, lease: int, *, now: float) -> None:
        """An executor has this one now."""
        self._held.pop(lease, None)
        self._busy[lease] = now

    def end(self, lease: int, *, computed_s: float | None) -> None:
        """An executor is done with it; None: it did not come to computing."""
        del self._busy[lease]
        if computed_s is not None:
            self._took.append(computed_s)

    def hold(self, lease: int, *, now: float) -> None:
        """It is claimed and waits for an executor."""
        self._held[lease] = now

    def forget(self, lease: int) -> None:
        """It does not wait for a busy executor any more."""
        self._held.pop(lease, None)

    def places(self, *, waiting: int, now: float) -> int:
        """How many more to claim, where so many wait already. None while half of them are there: a claim of many
        costs hardly more than a claim of one.
        """
        most = self._each() * sum(now - since < HELD_S for since in self._busy.values())
        missing = max(0, most - waiting)
        return missing if 2 * missing >= most else 0

    def is_late(self, lease: int, *, now: float) -> bool:
        """Whether it was claimed ahead and has waited too long."""
        return now - self._held.get(lease, now) > HELD_S

    def _each(self) -> int:
        """Jobs for each busy executor."""
        if len(self._took) < LOOKED_AT:
            return 0
        return int(min(MOST_EACH, AHEAD_S * LOOKED_AT / max(sum(self._took), 1e-9)))
