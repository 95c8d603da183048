"""How long a running job will still take: an estimate, from jobs of its kind before it and from its own pace."""

from statistics import median

from gristmill.domain.dataset import DatasetInput
from gristmill.domain.job import Progress

REMEMBERED = 32
"""Finished jobs of a kind whose pace is kept."""
# A stage's own pace says nothing before so much of it is done.
LEAST_SHARE = 0.02
LEAST_S = 1.0


class Paces:
    """How fast jobs of each kind went lately, in units of work a second, by the kind."""

    def __init__(self) -> None:
        self._paces: dict[str, list[float]] = {}

    def note(self, kind: str, work: int, seconds: float) -> None:
        """A job of this kind is done; it took so long. Tiny ones tell of the start-up, not of a pace."""
        if work > 0 and seconds >= LEAST_S:
            paces = self._paces.setdefault(kind, [])
            paces.append(work / seconds)
            del paces[:-REMEMBERED]

    def typical(self, kind: str) -> float | None:
        """The median; None: none is known."""
        paces = self._paces.get(kind)
        return median(paces) if paces else None


def work_of(dataset: DatasetInput) -> int:
    """What there is to do: rows, or bytes of the original while rows are unknown."""
    return dataset.rows or dataset.size_bytes


def seconds_left(
    progress: Progress, *, work: int, pace: float | None, elapsed_s: float, stage_s: float
) -> float | None:
    """Seconds, or None when nothing is known. `elapsed_s` is since the attempt began, `stage_s` since its stage did.

    Jobs before it tell of the whole, its own pace of the present stage alone; the further this is, the more its own
    counts.
    """
    past = None if pace is None else max(0.0, work / pace - elapsed_s)
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    if share < LEAST_SHARE or stage_s < LEAST_S:
        return past
    own = stage_s * (1 - share) / share
    return own if past is None else max(own, share * own + (1 - share) * past)
