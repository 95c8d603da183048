"""Server-sent events (WHATWG HTML, 9.2), as far as the server uses them: `id`, `event` and one line of JSON `data`."""

from collections.abc import AsyncIterator

import msgspec

from gristmill.client.documents import Event
from gristmill.client.errors import UnexpectedAnswer


async def events_in(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """The whole events in a stream. One that broke off is left out: it comes again.

    Raises UnexpectedAnswer.
    """
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield _event("\n".join(data))
            data = []
            continue
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))


def _event(data: str) -> Event:
    try:
        return msgspec.json.decode(data, type=Event)
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(f"An event is not what was expected: {error}") from error
