"""A job's history as server-sent events: the rows of `GET /jobs/{id}/events`, live. An event's id is its row's.

Events of one job get their ids under the lock of its row, so they are seen in the order of their ids, and the last id
that a client has is all it needs to go on.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated
from uuid import UUID

import msgspec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from gristmill.api.answers import Response
from gristmill.api.auth import Admission
from gristmill.api.watch import Watcher
from gristmill.db.engine import Database
from gristmill.db.jobs import get_job, list_events
from gristmill.db.rows import EventRow
from gristmill.errors import DatabaseUnavailable, Fault, InvalidRequest, Unauthorized

MEDIA_TYPE = "text/event-stream"
COMMENT_S = 15.0
COMMENT = b":\n\n"
RETRY = b"retry: 1000\n\n"
PAGE = 500
MAX_ID = 2**63 - 1

After = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=MAX_ID,
        description="Only events after the one with this id; 0: all of them.",
        schema_extra={"minimum": 0},  # the framework does not tell of a limit that is 0
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        schema_extra={"pattern": "^[0-9]{0,18}$"},
        description="As browsers send it when they connect again; it goes before `after`.",
    ),
]


def wanted(accept: str | None) -> bool:
    """Whether a stream is asked for."""
    kinds = (kind.partition(";")[0].strip().lower() for kind in (accept or "").split(","))
    return MEDIA_TYPE in kinds


def last_seen(header: str | None, after: int | None) -> int | None:
    """The id of the last event that the client has; None: it asks for the first time. Raises InvalidRequest."""
    if not header:
        return after
    if not (header.isascii() and header.isdecimal() and len(header) < 20 and int(header) <= MAX_ID):
        fault = Fault("/header/Last-Event-ID", "It is not the id of an event.")
        raise InvalidRequest("A header does not fit.", errors=(fault,))
    return int(header)


async def is_told(database: Database, job_id: UUID, *, owner: str, after: int) -> bool:
    """Whether nothing comes after this event: the job is final, and it was its last."""
    job = await get_job(database, job_id, owner=owner)
    return job is None or (
        job.status.final and not await list_events(database, job_id, owner=owner, after=after, limit=1)
    )


def stream(content: AsyncIterator[bytes]) -> Stream:
    return Stream(content, media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})


def nothing_more() -> Response[None]:
    """What tells a browser to stop asking."""
    return Response(None, status_code=204)


async def events_of(
    watcher: Watcher,
    database: Database,
    job_id: UUID,
    *,
    owner: str,
    admitted: Admission,
    after: int,
    shown: Callable[[EventRow], msgspec.Struct],
    comment_s: float = COMMENT_S,
) -> AsyncIterator[bytes]:
    """The events after one, and those to come until the job is final; a comment whenever nothing came for a while.

    Ends early when the API stops, the database does not answer or the caller's key is no more: a client that comes back
    with the last id it has goes on there, or is told why not.
    """
    yield RETRY
    with watcher.watching(job_id, owner=owner) as watch:
        while not watcher.stopping:
            try:
                await admitted()
                # In this order: a job that is final by now has written its last event.
                job = await get_job(database, job_id, owner=owner)
                rows = await list_events(database, job_id, owner=owner, after=after, limit=PAGE)
            except (DatabaseUnavailable, Unauthorized):
                return
            for row in rows:
                yield _encoded(row, shown(row))
                after = row.id
            if len(rows) == PAGE:
                continue
            if job is None or job.status.final:
                return
            while not await watch.change(comment_s):
                yield COMMENT


def _encoded(row: EventRow, shown: msgspec.Struct) -> bytes:
    # JSON has no line breaks, so one line of data is enough.
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row.id, row.type.encode(), msgspec.json.encode(shown))
