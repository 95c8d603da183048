"""What goes on, as server-sent events without an end: all jobs of an owner, and the queue with its workers.

Nothing is replayed here: who was cut off is told `open` again, and reads the lists again. Neither list has an index by
the time of a change, and one would cost every heartbeat.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema

from gristmill.api import stream
from gristmill.api.answers import Response
from gristmill.api.auth import Admission, Caller, admission
from gristmill.api.feed import Feed
from gristmill.api.headers import IS_HEAD
from gristmill.api.jobs import job_of
from gristmill.api.problems import documented
from gristmill.api.queue import History, Queue, WorkerList, history_of, queue_now, workers_now
from gristmill.db.engine import Database
from gristmill.db.jobs import get_jobs, latest_states
from gristmill.errors import DatabaseUnavailable, NotAcceptable, Unauthorized
from gristmill.settings import Settings

NEWEST = 200
QUEUE_S = 1.0
# The minute under way, and the one that has just ended.
LAST_MINUTES = 1
OPEN = b"event: open\ndata: {}\n\n"
SAMPLES = {
    "followJobs": 'event: open\ndata: {}\n\nevent: job\ndata: {"id":"01900000-0000-7000-8000-00000000010b"}\n\n',
    "followQueue": 'event: open\ndata: {}\n\nevent: workers\ndata: {"items":[]}\n\n',
}

States = Mapping[UUID, tuple[int, bool]]


class QueueSeen(msgspec.Struct, frozen=True):
    """What a look at the queue finds; each is an event."""

    queue: Queue
    workers: WorkerList
    history: History


@dataclass(frozen=True)
class Live:
    """The two feeds of a process."""

    jobs: Feed[Mapping[str, States]]
    queue: Feed[QueueSeen]

    def stop(self) -> None:
        self.jobs.stop()
        self.queue.stop()

    async def close(self) -> None:
        await self.jobs.close()
        await self.queue.close()


def feeds(settings: Settings, database: Database) -> Live:
    return Live(
        Feed("jobs", partial(_look_at_jobs, database), interval_s=settings.watch_s),
        Feed("queue", partial(_look_at_queue, database), interval_s=max(QUEUE_S, settings.watch_s)),
    )


async def _look_at_jobs(database: Database, owners: frozenset[str]) -> Mapping[str, States]:
    return await latest_states(database, owners, newest=NEWEST)


async def _look_at_queue(database: Database, owners: frozenset[str]) -> QueueSeen:
    del owners  # the queue is everybody's
    queue, workers = await queue_now(database), await workers_now(database)
    return QueueSeen(queue, workers, await history_of(database, minutes=LAST_MINUTES))


@dataclass
class StreamOperation(Operation):
    """The framework takes an answer for JSON; this one is a stream, and has a sample."""

    def __post_init__(self) -> None:
        answered = (self.responses or {}).get("200")
        if isinstance(answered, OpenAPIResponse):
            sample = Example(summary="The first events", value=SAMPLES[str(self.operation_id)])
            schema = Schema(type=OpenAPIType.STRING, description="Server-sent events, without an end.")
            answered.content = {stream.MEDIA_TYPE: OpenAPIMediaType(schema=schema, examples={"events": sample})}


@get(
    "/events",
    operation_id="followJobs",
    summary="Follow all of your jobs",
    tags=["Jobs"],
    operation_class=StreamOperation,
    responses={200: ResponseSpec(str, description="A stream of events.", generate_examples=False), **documented(406)},
)
async def follow_jobs(
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    live: NamedDependency[Live],
    owner: NamedDependency[str],
) -> Response[None]:
    """With `Accept: text/event-stream`: `open` when the stream has begun (read the list then), `job` with a job that is
    new or has changed, `gone` with the `id` of one that was removed. Ingest jobs are among them.

    Looked at are your 200 newest jobs and all that run. Nothing is replayed to who was cut off.
    """
    _check(request)
    told = jobs_told(live.jobs, database, owner=owner, admitted=admission(request))
    return cast("Response[None]", stream.stream(told))


@get(
    "/events",
    operation_id="followQueue",
    summary="Follow the queue and the workers",
    operation_class=StreamOperation,
    responses={200: ResponseSpec(str, description="A stream of events.", generate_examples=False), **documented(406)},
)
async def follow_queue(
    request: Request[Caller, None, State], live: NamedDependency[Live], owner: NamedDependency[str]
) -> Response[None]:
    """With `Accept: text/event-stream`: `open`, and then, whenever they have changed, `queue` (as `GET /queue`),
    `workers` (as `GET /workers`) and `history` (as `GET /queue/history`, of this minute and the last one).
    """
    _check(request)
    told = queue_told(live.queue, owner=owner, admitted=admission(request))
    return cast("Response[None]", stream.stream(told))


def _check(request: Request[Caller, None, State]) -> None:
    """Raises NotAcceptable: there is nothing here but a stream, and a HEAD would never end."""
    if not stream.wanted(request.headers.get("Accept")) or IS_HEAD in request.scope["state"]:
        raise NotAcceptable(f"This is a stream: GET it with Accept: {stream.MEDIA_TYPE}.")


async def jobs_told(
    feed: Feed[Mapping[str, States]],
    database: Database,
    *,
    owner: str,
    admitted: Admission,
    comment_s: float = stream.COMMENT_S,
) -> AsyncIterator[bytes]:
    """What happens to an owner's jobs from now on; ends as `stream.events_of` does, but for final jobs."""
    yield stream.RETRY
    known: States | None = None
    with feed.listening(owner) as listener:
        while not feed.stopping:
            seen = await listener.next(comment_s)
            try:
                await admitted()
                if seen is None:
                    yield stream.COMMENT
                    continue
                now = seen[owner]
                changed = () if known is None else changes(known, now)
                rows = await get_jobs(database, changed, owner=owner) if changed else []
            except (DatabaseUnavailable, Unauthorized):
                return
            if known is None:
                yield OPEN
            for row in sorted(rows, key=lambda row: row.id):
                yield _event("job", job_of(row))
            for job_id in sorted(set(changed) - {row.id for row in rows}):
                yield _event("gone", {"id": job_id})
            known = now


def changes(before: States, now: States) -> tuple[UUID, ...]:
    """The jobs to tell of: new ones, those in another state, and those that are no longer looked at.

    One that ran is not looked at any more when it is final and not among the newest. One that did not is either gone
    or has been displaced by newer ones; then it is older than all of the newest and there is nothing to tell.
    """
    oldest = min((job_id for job_id, (_, running) in now.items() if not running), default=None)
    other = [job_id for job_id, state in now.items() if before.get(job_id) != state]
    lost = [
        job_id
        for job_id, (_, running) in before.items()
        if job_id not in now and (running or len(now) < NEWEST or (oldest is not None and job_id > oldest))
    ]
    return (*other, *lost)


async def queue_told(
    feed: Feed[QueueSeen], *, owner: str, admitted: Admission, comment_s: float = stream.COMMENT_S
) -> AsyncIterator[bytes]:
    """The queue, its workers and what they did lately, each whenever it is another."""
    yield stream.RETRY
    yield OPEN
    told: dict[str, bytes] = {}
    with feed.listening(owner) as listener:
        while not feed.stopping:
            seen = await listener.next(comment_s)
            try:
                await admitted()
            except (DatabaseUnavailable, Unauthorized):
                return
            if seen is None:
                yield stream.COMMENT
                continue
            for name in QueueSeen.__struct_fields__:
                event = _event(name, getattr(seen, name))
                if told.get(name) != event:
                    told[name] = event
                    yield event


def _event(name: str, data: object) -> bytes:
    # JSON has no line breaks, so one line of data is enough.
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
