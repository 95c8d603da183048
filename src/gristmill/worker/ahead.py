"""How far a worker claims ahead of its executors: one job for each that is busy, while jobs are short.

Between two short jobs an executor would wait for the next claim about as long as it computes. A job that is claimed
ahead counts as running, keeps nobody else's place for long, and is given back where the job before it turns out long.
"""

from collections import deque

# Jobs are short while the last so many of a worker took so long at most, in the mean.
LOOKED_AT = 8
SHORT_S = 0.1
# How long one waits for a busy executor before it is given back; for an executor busy for longer nothing is claimed.
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
        """How many more could be claimed ahead, where so many wait already."""
        if len(self._took) < LOOKED_AT or sum(self._took) > SHORT_S * LOOKED_AT:
            return 0
        lately = sum(now - since < HELD_S for since in self._busy.values())
        return max(0, lately - waiting)

    def is_late(self, lease: int, *, now: float) -> bool:
        """Whether it was claimed ahead and has waited too long."""
        return now - self._held.get(lease, now) > HELD_S
