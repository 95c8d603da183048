"""The queue and its workers: what waits, who works, and what an operator limits or pauses."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, PathParameter, QueryParameter
from msgspec import Meta

from gristmill.api.document import Moment
from gristmill.api.paging import checked_text
from gristmill.api.problems import documented
from gristmill.db import limits
from gristmill.db.engine import Database
from gristmill.db.queue import list_workers, queue_depth
from gristmill.errors import Fault, InvalidRequest, NotFound

EVERYTHING = "*"

LimitScope = Literal["all", "kind", "owner", "key"]
Kind = Annotated[str | None, QueryParameter(max_length=100, description="Of this kind alone; default: all kinds.")]
ScopeInPath = Annotated[
    LimitScope, PathParameter(description="What the limit is for.", examples=[Example(value="kind")])
]
NameInPath = Annotated[
    str,
    PathParameter(
        max_length=200,
        description="The kind, owner or key; `*` for the scope all.",
        examples=[Example(value="metrics")],
    ),
]


class KindDepth(msgspec.Struct, frozen=True):
    """Jobs of a kind that are not final. `blocked` ones wait for a dataset or a job."""

    kind: str
    due: int
    delayed: int
    blocked: int
    running: int
    oldest_wait_s: float | None
    paused: bool


class Queue(msgspec.Struct, frozen=True):
    """What waits and what runs, of all owners."""

    paused: bool
    kinds: tuple[KindDepth, ...]


class Worker(msgspec.Struct, frozen=True):
    """A worker process: how many jobs it may run at once, and how many it runs."""

    id: UUID
    host: str
    pid: int
    slots: int
    running: int
    version: str
    started_at: Moment
    heartbeat_at: Moment


class WorkerList(msgspec.Struct, frozen=True):
    items: tuple[Worker, ...]


class LimitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `max_running` jobs at a time; of a kind, at most `rate` starts in any `rate_period_s` seconds."""

    max_running: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    rate: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    rate_period_s: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    paused: bool = False


class Limit(msgspec.Struct, frozen=True):
    """A limit as it is set."""

    scope: str
    name: str
    max_running: int | None
    rate: int | None
    rate_period_s: int | None
    paused: bool


class LimitList(msgspec.Struct, frozen=True):
    items: tuple[Limit, ...]


@get(
    operation_id="getQueue",
    summary="Look at the queue",
    responses=documented(),
    response_description="What waits and what runs, by kind.",
)
async def look_at_queue(database: NamedDependency[Database]) -> Queue:
    """Counts are exact; they are counted, so that asking costs as much as there are jobs that are not final."""
    return await _queue(database)


async def _queue(database: Database) -> Queue:
    known = await limits.list_limits(database)
    paused = {limit.key for limit in known if limit.paused}
    depths = await queue_depth(database)
    return Queue(
        ("all", "") in paused,
        tuple(
            KindDepth(d.kind, d.due, d.delayed, d.blocked, d.running, d.oldest_wait_s, ("kind", d.kind) in paused)
            for d in depths
        ),
    )


@get(
    operation_id="listWorkers",
    summary="List the workers",
    responses=documented(),
    response_description="Workers that were heard of lately.",
)
async def look_at_workers(database: NamedDependency[Database]) -> WorkerList:
    rows = await list_workers(database)
    return WorkerList(
        tuple(Worker(r.id, r.host, r.pid, r.slots, r.running, r.version, r.started_at, r.heartbeat_at) for r in rows)
    )


@post(
    "/pause",
    status_code=200,
    operation_id="pauseQueue",
    summary="Stop claiming jobs",
    responses=documented(422),
    response_description="The queue. What runs, runs on.",
)
async def pause(database: NamedDependency[Database], kind: Kind = None) -> Queue:
    await limits.pause_claims(database, kind=checked_text(kind, "/query/kind"), paused=True)
    return await _queue(database)


@post(
    "/resume",
    status_code=200,
    operation_id="resumeQueue",
    summary="Claim jobs again",
    responses=documented(422),
    response_description="The queue.",
)
async def resume(database: NamedDependency[Database], kind: Kind = None) -> Queue:
    await limits.pause_claims(database, kind=checked_text(kind, "/query/kind"), paused=False)
    return await _queue(database)


@get(
    "/limits",
    operation_id="listLimits",
    summary="List the limits",
    responses=documented(),
    response_description="All limits that are set.",
)
async def look_at_limits(database: NamedDependency[Database]) -> LimitList:
    return LimitList(tuple(_limit(limit) for limit in await limits.list_limits(database)))


@put(
    "/limits/{limit_scope:str}/{name:str}",
    operation_id="setLimit",
    summary="Set a limit",
    responses=documented(400, 413, 415, 422),
    response_description="The limit. It holds from the next claim on; what runs, runs on.",
)
async def set_limit(
    limit_scope: ScopeInPath,
    name: NameInPath,
    data: Annotated[
        LimitRequest,
        BodyKwarg(
            media_type=RequestEncodingType.JSON, examples=[Example(value={"max_running": 4}, summary="Four at once")]
        ),
    ],
    database: NamedDependency[Database],
) -> Limit:
    """How many run is counted from the jobs that hold a lease, over all workers."""
    _check(limit_scope, name, data)
    limit = limits.Limit(
        limit_scope, _stored(limit_scope, name), data.paused, data.max_running, data.rate, data.rate_period_s
    )
    await limits.set_limit(database, limit)
    return _limit(limit)


@delete(
    "/limits/{limit_scope:str}/{name:str}",
    operation_id="dropLimit",
    summary="Remove a limit",
    responses=documented(404, 422),
    response_description="There is no such limit any more.",
)
async def drop_limit(limit_scope: ScopeInPath, name: NameInPath, database: NamedDependency[Database]) -> None:
    checked_text(name, "/path/name")
    if not await limits.drop_limit(database, limit_scope, _stored(limit_scope, name)):
        raise NotFound("There is no such limit.")


def _stored(scope: str, name: str) -> str:
    return "" if scope == "all" else name


def _check(scope: str, name: str, data: LimitRequest) -> None:
    checked_text(name, "/path/name")
    faults = []
    if (scope == "all") != (name == EVERYTHING):
        faults.append(Fault("/path/name", f"It is {EVERYTHING} for the scope all, and for no other."))
    if (data.rate is None) != (data.rate_period_s is None):
        faults.append(Fault("/rate_period_s", "A rate has a number of starts and a period."))
    if data.rate is not None and scope != "kind":
        faults.append(Fault("/rate", "A rate can be set for a kind."))
    if data.paused and scope not in ("all", "kind"):
        faults.append(Fault("/paused", "A kind can be paused, or all."))
    if faults:
        raise InvalidRequest("The limit does not fit.", errors=tuple(faults))


def _limit(limit: limits.Limit) -> Limit:
    name = limit.name or EVERYTHING
    return Limit(limit.scope, name, limit.max_running, limit.rate, limit.rate_period_s, limit.paused)


def routes() -> list[Any]:
    queue = Router(
        "/queue",
        route_handlers=[look_at_queue, pause, resume, look_at_limits, set_limit, drop_limit],
        tags=["Queue"],
    )
    return [queue, Router("/workers", route_handlers=[look_at_workers], tags=["Queue"])]
