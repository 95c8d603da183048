"""Many jobs submitted by one request."""

from typing import Annotated

import msgspec
from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.idempotency import IdempotencyKey, first_answer, request_key
from gristmill.api.jobs import Job, job_of
from gristmill.api.limits import Quotas
from gristmill.api.problems import documented
from gristmill.api.remembered import ReadyDatasets
from gristmill.api.submissions import JobBatch
from gristmill.api.submit import HeldProcessors, Keyed, Reply, submit
from gristmill.db.engine import Database
from gristmill.db.rows import JobRow
from gristmill.objects import ObjectStore
from gristmill.settings import Settings


class JobList(msgspec.Struct, frozen=True):
    """Jobs in the order they were submitted."""

    items: tuple[Job, ...]


@post(
    status_code=202,
    operation_id="submitJobs",
    summary="Submit many jobs",
    responses=documented(400, 404, 409, 413, 415, 422),
    response_description="All are accepted, in the order they were given.",
)
async def submit_batch(
    data: Annotated[
        JobBatch,
        BodyKwarg(
            media_type=RequestEncodingType.JSON,
            examples=[Example(value={"jobs": [examples.JOB]}, summary="One job of up to a thousand")],
        ),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    processors: NamedDependency[HeldProcessors],
    quotas: NamedDependency[Quotas],
    ready: NamedDependency[ReadyDatasets],
    owner: NamedDependency[str],
    idempotency_key: IdempotencyKey = None,
) -> Response[JobList]:
    """All of them or none: with one that does not fit, nothing is submitted, and `errors` points at each fault."""
    key = await request_key(request, idempotency_key, settings, owner=owner)
    if (first := await first_answer(database, key, JobList)) is not None:
        return first
    await quotas.take_jobs(len(data.jobs), owner=owner)
    keyed = None if key is None else Keyed(key, _reply)
    rows = await submit(
        database, store, settings, processors, owner=owner, requests=data.jobs, ready=ready, batch=True, keyed=keyed
    )
    return Response(_job_list(rows))


def _reply(rows: list[JobRow]) -> Reply:
    return Reply(202, None, msgspec.json.encode(_job_list(rows)))


def _job_list(rows: list[JobRow]) -> JobList:
    return JobList(tuple(job_of(row) for row in rows))


def routes() -> Router:
    return Router("/jobs:batch", route_handlers=[submit_batch], tags=["Jobs"])
