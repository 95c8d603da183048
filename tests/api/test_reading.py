"""Promise: few pages are read at once, some wait, none for ever, and the rest is told to come again."""

import asyncio
from collections.abc import Iterator
from functools import partial
from threading import Event

import pytest

from gristmill.api.reading import MAX_WAITING, PageReader
from gristmill.errors import NotFound, Unavailable

LIMIT_S = 20.0


@pytest.fixture
def gate() -> Iterator[Event]:
    """Readers wait for it; it opens at the end, whatever happened."""
    opened = Event()
    yield opened
    opened.set()


async def test_as_many_are_read_at_once_as_are_allowed_and_as_many_wait(gate: Event) -> None:
    reader = PageReader(2, deadline_s=LIMIT_S)
    running: list[int] = []

    def read(number: int) -> int:
        running.append(number)
        assert gate.wait(LIMIT_S)
        return number

    tasks = [asyncio.create_task(reader.run(partial(read, number))) for number in range(2 + MAX_WAITING)]
    while len(running) < 2:
        await asyncio.sleep(0.005)
    with pytest.raises(Unavailable, match="Too many"):
        await reader.run(lambda: 0)
    assert running == [0, 1]
    # One that is given up while it waits makes room, and is never read.
    tasks[-1].cancel()
    await asyncio.wait({tasks[-1]})
    last = asyncio.create_task(reader.run(lambda: 99))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*tasks[:-1], last) == [*range(1 + MAX_WAITING), 99]
    assert 1 + MAX_WAITING not in running
    reader.close()


async def test_nobody_waits_for_ever(gate: Event) -> None:
    reader = PageReader(1, deadline_s=0.05)
    for _ in range(2):  # the first is being read, the second waits
        with pytest.raises(Unavailable, match="in time"):
            await reader.run(lambda: gate.wait(LIMIT_S))
    reader.close()


async def test_what_a_reader_raises_is_raised() -> None:
    reader = PageReader(1, deadline_s=LIMIT_S)

    def fail() -> None:
        raise NotFound("gone")

    with pytest.raises(NotFound):
        await reader.run(fail)
    assert await reader.run(lambda: 1) == 1
    reader.close()
