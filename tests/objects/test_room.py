"""Promise: parts of uploads take no more places than there are, and who is slow takes none from the others."""

import asyncio

import pytest

from gristmill.objects import room
from gristmill.objects.room import Place, Room


async def waits(place: "asyncio.Task[Place] | asyncio.Task[None]") -> bool:
    """Whether it is still waited for when all that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not place.done()


async def test_no_more_have_a_place_than_there_are() -> None:
    places = Room(2)
    first, second = await places.enter(), await places.enter()
    third = asyncio.create_task(places.enter())
    assert await waits(third)
    first.leave()
    first.leave()  # as an upload does that is aborted while its part is on its way: it counts once
    (await third).leave()
    second.leave()
    both = await places.enter(), await places.enter()
    last = asyncio.create_task(places.enter())
    assert await waits(last)
    last.cancel()
    for place in both:
        place.leave()


@pytest.mark.parametrize("limit", ["IDLE_S", "SLOW_S"])
async def test_who_is_slow_makes_room_and_waits_for_it_again(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IDLE_S", 0.01)
    monkeypatch.setattr(room, "SLOW_S", 60)
    monkeypatch.setattr(room, limit, 0.01)
    places = Room(1)
    slow = await places.enter()
    begun = asyncio.create_task(places.enter())
    while not begun.done():  # one sends nothing, the other a little all the time
        if limit == "SLOW_S":
            slow.used()
        await asyncio.sleep(0.001)
    fast = await begun
    await fast.hold()
    full = asyncio.create_task(slow.hold())
    assert await waits(full)
    fast.leave()
    await full
    other = asyncio.create_task(places.enter())
    assert await waits(other)
    slow.leave()
    (await other).leave()
