"""What goes on at the server, told live: all jobs of an owner, and the queue with its workers. Nothing is replayed."""

from collections.abc import AsyncIterator, Mapping

from gristmill.client.documents import Gone, History, JobChange, JobInfo, Opened, Queue, QueueChange, WorkerList
from gristmill.client.errors import ClientError, Unavailable, Unreachable
from gristmill.client.exchange import Exchange
from gristmill.client.jobs import SILENT_S
from gristmill.client.sse import messages_in, typed
from gristmill.client.transport import Request

JOBS: Mapping[str, type[JobChange]] = {"open": Opened, "job": JobInfo, "gone": Gone}
QUEUE: Mapping[str, type[QueueChange]] = {
    "open": Opened,
    "queue": Queue,
    "workers": WorkerList,
    "history": History,
}


async def job_changes(exchange: Exchange) -> AsyncIterator[JobChange]:
    async for name, data in _messages(exchange, "/events"):
        if name in JOBS:
            yield typed(data, JOBS[name])


async def queue_changes(exchange: Exchange) -> AsyncIterator[QueueChange]:
    async for name, data in _messages(exchange, "/queue/events"):
        if name in QUEUE:
            yield typed(data, QUEUE[name])


async def _messages(exchange: Exchange, path: str) -> AsyncIterator[tuple[str, str]]:
    """The messages of a stream without an end. A connection that breaks is made again, and begins with `open`."""
    attempt = 1
    failure: ClientError
    while True:
        request = Request(method="GET", url=path, headers={"Accept": "text/event-stream"}, timeout_s=SILENT_S)
        try:
            async with exchange.stream(request) as streamed:
                async for message in messages_in(streamed.lines()):
                    attempt = 1
                    yield message
            failure = Unreachable("The stream of events ended.")
        except (Unreachable, Unavailable) as error:
            failure = error
        await exchange.pause(attempt, failure)
        attempt += 1
