"""Is the process up, and does it reach what it needs?"""

import asyncio
from collections.abc import Awaitable

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency

from gristmill.api.problems import documented
from gristmill.db.engine import Database
from gristmill.db.migrations import current_revision
from gristmill.errors import Fault, GristmillError, NotReady
from gristmill.objects import ObjectStore

PROBE_DEADLINE_S = 3.0


class Health(msgspec.Struct, frozen=True):
    """`live` or `ready`; what is neither answers 503 or not at all."""

    status: str


@get(
    "/live",
    operation_id="isLive",
    summary="Is the process up?",
    responses=documented(public=True),
    response_description="It is.",
)
async def live() -> Health:
    return Health("live")


@get(
    "/ready",
    operation_id="isReady",
    summary="Does it reach what it needs?",
    responses=documented(public=True),
    response_description="The database answers, its schema is this version's, and both buckets are there.",
)
async def ready(
    database: NamedDependency[Database], store: NamedDependency[ObjectStore], schema_head: NamedDependency[str]
) -> Health:
    """503 names in `errors` what is missing."""
    found = await asyncio.gather(
        _missing("/database", _schema_is(database, schema_head)), _missing("/object_store", store.probe())
    )
    faults = tuple(fault for fault in found if fault is not None)
    if faults:
        raise NotReady("Something that is needed is missing.", errors=faults)
    return Health("ready")


async def _missing(pointer: str, check: Awaitable[None]) -> Fault | None:
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            await check
    except TimeoutError:
        return Fault(pointer, "It does not answer in time.")
    except GristmillError as error:
        return Fault(pointer, error.detail)
    return None


async def _schema_is(database: Database, head: str) -> None:
    revision = await current_revision(database)
    if revision != head:
        raise NotReady(f"The schema is at {revision or 'nothing'}, this version needs {head}: gristmill migrate.")


def routes() -> Router:
    return Router("/health", route_handlers=[live, ready], tags=["Health"])
