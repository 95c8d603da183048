"""Free slots go by priority, then to owners in turn, never past a limit, and never to what is not due."""

from hypothesis import given
from hypothesis import strategies as st

from gristmill.domain.sharing import Lane, Waiting, share

OWNERS = ["ann", "bob", "cid"]
LANES = st.builds(
    Lane,
    priority=st.integers(-2, 2),
    kind=st.sampled_from(["metrics", "normalize"]),
    owner=st.sampled_from(OWNERS),
    limit_key=st.sampled_from(["", "warehouse"]),
)
WAITING = st.lists(st.builds(Waiting, LANES, st.floats(-100, 100)), unique_by=lambda item: item.lane, max_size=12)
SCOPES = [("all", ""), ("kind", "metrics"), ("owner", "ann"), ("key", "warehouse")]
ROOM = st.dictionaries(st.sampled_from(SCOPES), st.integers(0, 20))


@given(waiting=WAITING, free=st.integers(0, 300), room=ROOM)
def test_no_slot_is_given_twice_nor_past_a_limit(
    waiting: list[Waiting], free: int, room: dict[tuple[str, str], int]
) -> None:
    shares = share(waiting, free, running={}, room=room, turns={})
    due = {item.lane for item in waiting if item.due_s <= 0}
    assert set(shares) <= due
    assert all(jobs > 0 for jobs in shares.values())
    assert sum(shares.values()) <= free
    for scope, most in room.items():
        assert sum(jobs for lane, jobs in shares.items() if scope in lane.scopes) <= most


@given(waiting=WAITING, free=st.integers(1, 300))
def test_no_slot_stays_free_while_something_is_due(waiting: list[Waiting], free: int) -> None:
    shares = share(waiting, free, running={}, room={}, turns={})
    assert sum(shares.values()) == (free if any(item.due_s <= 0 for item in waiting) else 0)


@given(waiting=WAITING, free=st.integers(1, 300))
def test_the_highest_priority_is_served_alone(waiting: list[Waiting], free: int) -> None:
    shares = share(waiting, free, running={}, room={}, turns={})
    due = [item.lane.priority for item in waiting if item.due_s <= 0]
    assert {lane.priority for lane in shares} <= {max(due, default=0)}


def test_owners_share_equally_what_is_free() -> None:
    waiting = [Waiting(Lane(0, "metrics", owner, ""), -1.0) for owner in OWNERS]
    assert set(share(waiting, 30, running={}, room={}, turns={}).values()) == {10}


def test_who_has_more_running_gets_less() -> None:
    waiting = [Waiting(Lane(0, "metrics", owner, ""), -1.0) for owner in OWNERS]
    shares = share(waiting, 9, running={"ann": 9, "bob": 3}, room={}, turns={})
    assert {lane.owner: jobs for lane, jobs in shares.items()} == {"bob": 3, "cid": 6}


def test_the_longest_without_a_turn_is_served_first() -> None:
    waiting = [Waiting(Lane(0, "metrics", owner, ""), -1.0) for owner in OWNERS]
    shares = share(waiting, 1, running={}, room={}, turns={"ann": 7, "bob": 3, "cid": 5})
    assert [lane.owner for lane in shares] == ["bob"]


def test_every_owner_is_served_after_as_many_turns_as_there_are_owners() -> None:
    owners = [f"owner-{n}" for n in range(50)]
    waiting = [Waiting(Lane(0, "metrics", owner, ""), -1.0) for owner in owners]
    turns: dict[str, int] = {}
    for turn in range(len(owners)):
        (lane,) = share(waiting, 1, running={}, room={}, turns=turns)
        turns[lane.owner] = turn
    assert set(turns) == set(owners)
