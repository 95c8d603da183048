"""A job's history."""

from datetime import datetime

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from gristmill.api.document import JobId, JsonObject
from gristmill.api.jobs import found_job
from gristmill.api.paging import Cursor, Limit, decode_cursor, encode_cursor, next_link
from gristmill.api.problems import documented, job_details
from gristmill.db.engine import Database
from gristmill.db.jobs import list_events
from gristmill.db.rows import EventRow
from gristmill.errors import Problem


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


@get(
    "/{job_id:uuid}/events",
    operation_id="listEvents",
    summary="List a job's history",
    responses=documented(400, 404, 422),
    response_description="A page of events, oldest first.",
)
async def list_job_events(
    job_id: JobId,
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[EventPage]:
    await found_job(database, job_id, owner=owner)
    of = f"events of {job_id}"
    after = 0 if cursor is None else int.from_bytes(decode_cursor(cursor, of=of, owner=owner, filters={}), "big")
    rows = await list_events(database, job_id, owner=owner, after=after, limit=limit + 1)
    items = tuple(event_of(row) for row in rows[:limit])
    more = len(rows) > limit
    following = encode_cursor(items[-1].id, of=of, owner=owner, filters={}) if more else msgspec.UNSET
    headers = next_link(f"/jobs/{job_id}/events", {}, limit=limit, cursor=following)
    return Response(EventPage(items, following), headers=headers)


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
