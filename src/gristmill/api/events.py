"""A job's history, in pages or live."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema

from gristmill.api import stream
from gristmill.api.answers import Response
from gristmill.api.auth import Caller, admission
from gristmill.api.document import JobId, JsonObject
from gristmill.api.headers import IS_HEAD
from gristmill.api.jobs import found_job
from gristmill.api.paging import Cursor, Limit, Paging
from gristmill.api.problems import documented, job_details
from gristmill.api.stream import After, LastEventId, last_seen
from gristmill.api.watch import Watcher
from gristmill.db.engine import Database
from gristmill.db.jobs import list_events
from gristmill.db.rows import EventRow
from gristmill.errors import Problem

SAMPLE = (
    'id: 42\nevent: claimed\ndata: {"id":42,"at":"2026-01-02T03:04:05Z","type":"claimed","attempt":1,"data":{}}\n\n'
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a job at a time. `data` depends on the type: the error of a failed attempt, for one."""

    id: int
    at: datetime
    type: str
    attempt: int
    data: JsonObject


class EventPage(msgspec.Struct, frozen=True):
    """Events, oldest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[Event, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@dataclass
class EventsOperation(Operation):
    """The framework knows of one media type of an answer; this operation has two."""

    def __post_init__(self) -> None:
        answered = (self.responses or {}).get("200")
        if isinstance(answered, OpenAPIResponse) and answered.content is not None:
            sample = Example(summary="One event", value=SAMPLE)
            schema = Schema(type=OpenAPIType.STRING, description="Server-sent events; `data` is an `Event`.")
            answered.content[stream.MEDIA_TYPE] = OpenAPIMediaType(schema=schema, examples={"event": sample})


@get(
    "/{job_id:uuid}/events",
    operation_id="listEvents",
    summary="List a job's history, or follow it",
    operation_class=EventsOperation,
    responses={
        204: ResponseSpec(None, description="To a stream that is resumed: the job is final, and all of it was told."),
        **documented(400, 404, 422),
    },
    response_description="A page of events, oldest first; or, with `Accept: text/event-stream`, all of them, live.",
)
async def list_job_events(
    job_id: JobId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    watcher: NamedDependency[Watcher],
    owner: NamedDependency[str],
    limit: Limit = 50,
    cursor: Cursor = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response[EventPage]:
    """With `Accept: text/event-stream` events are sent as they happen, until the job is final. Who was cut off goes on
    with `Last-Event-ID` (browsers do so by themselves) or `after`, and is told each event once.
    """
    await found_job(database, job_id, owner=owner)
    seen = last_seen(last_event_id, after)
    # A HEAD has no body to follow.
    if stream.wanted(request.headers.get("Accept")) and IS_HEAD not in request.scope["state"]:
        if seen is not None and await stream.is_told(database, job_id, owner=owner, after=seen):
            return cast("Response[EventPage]", stream.nothing_more())
        told = stream.events_of(
            watcher,
            database,
            job_id,
            owner=owner,
            admitted=admission(request),
            after=seen or 0,
            shown=event_of,
        )
        return cast("Response[EventPage]", stream.stream(told))
    of, path = f"events of {job_id}", f"/jobs/{job_id}/events"
    paging = Paging(of=of, path=path, owner=owner, limit=limit, cursor=cursor)
    rows = await list_events(database, job_id, owner=owner, after=paging.first(seen or 0), limit=paging.rows)
    return paging.answer(rows, event_of, EventPage)


def event_of(row: EventRow) -> Event:
    return Event(id=row.id, at=row.at, type=row.type, attempt=row.attempt, data=_shown(row))


def _shown(row: EventRow) -> msgspec.Raw:
    """The event's data; a stored problem in it as every problem is sent."""
    if row.data is None:
        return msgspec.Raw(b"{}")
    data = msgspec.json.decode(row.data, type=dict[str, msgspec.Raw])
    stored = data.get("error")
    if stored is None:
        return row.data
    problem = msgspec.json.decode(stored, type=Problem | None)
    told = None if problem is None else job_details(problem, instance=f"/jobs/{row.job_id}")
    return msgspec.Raw(msgspec.json.encode({**data, "error": told}))
