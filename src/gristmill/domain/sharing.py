"""Who gets the free slots: priority first, then owners in turn, within every limit. Pure.

A lane is the waiting jobs of one (priority, kind, owner, limit key). How many wait in a lane is not known, and need not
be: what a lane could not use is shared again among the others.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, groupby
from typing import NamedTuple

# With many free slots the turns are taken by so many at a time, at most.
TURNS = 64


class Lane(NamedTuple):
    """Jobs that differ in their time alone."""

    priority: int
    kind: str
    owner: str
    limit_key: str

    @property
    def scopes(self) -> tuple[tuple[str, str], ...]:
        """The limits that may hold for it, as (scope, name)."""
        named = ("key", self.limit_key) if self.limit_key else None
        own = (("all", ""), ("kind", self.kind), ("owner", self.owner))
        return own if named is None else (*own, named)


class Waiting(NamedTuple):
    """A lane, and in how many seconds the first of its jobs is due (0 or less: now)."""

    lane: Lane
    due_s: float


def share(
    waiting: Iterable[Waiting],
    free: int,
    *,
    running: Mapping[str, int],
    room: Mapping[tuple[str, str], int],
    turns: Mapping[str, int],
) -> dict[Lane, int]:
    """How many jobs to take from which lane; together at most `free`, and for no (scope, name) more than its `room`.

    The highest priority is served first. Within it the next slot goes to the owner with the fewest jobs running
    (`running`, those given here included), among equals to the one whose last turn (`turns`, any growing number) is
    longest ago: with n owners waiting, each is served at the latest after the n - 1 others. An owner's lanes are
    served in the order of their oldest jobs.
    """
    left = dict(room)
    shares: dict[Lane, int] = defaultdict(int)
    due = sorted((item for item in waiting if item.due_s <= 0), key=lambda item: (-item.lane.priority, item.due_s))
    for _, group in groupby(due, key=lambda item: item.lane.priority):
        if free <= 0:
            break
        free -= _share_equally([item.lane for item in group], free, running=running, left=left, turns=turns, to=shares)
    return dict(shares)


def _share_equally(
    lanes: Sequence[Lane],
    free: int,
    *,
    running: Mapping[str, int],
    left: dict[tuple[str, str], int],
    turns: Mapping[str, int],
    to: dict[Lane, int],
) -> int:
    """Share among lanes of one priority; answers how many were given."""
    by_owner: dict[str, list[Lane]] = defaultdict(list)
    for lane in lanes:
        by_owner[lane.owner].append(lane)
    order = count()
    heap = [(running.get(owner, 0), turns.get(owner, -1), next(order), owner) for owner in by_owner]
    heapq.heapify(heap)
    at_once = free if len(by_owner) == 1 else max(1, free // TURNS)
    given = 0
    while heap and given < free:
        busy, turn, place, owner = heapq.heappop(heap)
        fitting = [lane for lane in by_owner[owner] if _room(lane, left) > 0]
        if not fitting:
            continue
        lane = fitting[0]
        taken = min(at_once, free - given, _room(lane, left))
        for scope in lane.scopes:
            if scope in left:
                left[scope] -= taken
        to[lane] += taken
        given += taken
        heapq.heappush(heap, (busy + taken, turn, place, owner))
    return given


def _room(lane: Lane, left: Mapping[tuple[str, str], int]) -> int:
    return min((left[scope] for scope in lane.scopes if scope in left), default=1 << 30)
