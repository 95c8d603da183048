"""Server-sent events (WHATWG HTML, 9.2), as far as the server uses them: `id`, `event` and one line of JSON `data`."""

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from gristmill.client.documents import Event
from gristmill.client.errors import UnexpectedAnswer

T = TypeVar("T")


async def events_in(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """The whole events in a job's stream. One that broke off is left out: it comes again.

    Raises UnexpectedAnswer.
    """
    async for _, data in messages_in(lines):
        yield typed(data, Event)


async def messages_in(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """The type and the data of each whole message in a stream."""
    name, data = "message", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")


def typed(data: str, kind: type[T]) -> T:
    """Raises UnexpectedAnswer."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(f"An event is not what was expected: {error}") from error
