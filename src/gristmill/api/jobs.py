"""Jobs: submit, look at, list, cancel, run again."""

import math
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, QueryParameter

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller, admission
from gristmill.api.conditions import IfNoneMatch, Prefer, applied, matches, preferred_wait, weak_etag
from gristmill.api.document import JobId, JsonObject, Moment
from gristmill.api.filters import (
    CreatedAfter,
    CreatedBefore,
    FinishedAfter,
    FinishedBefore,
    Labels,
    interval,
    shown,
    wanted_labels,
)
from gristmill.api.idempotency import IdempotencyKey, first_answer, request_key
from gristmill.api.limits import Quotas
from gristmill.api.paging import Cursor, Filters, Limit, Paging, checked_text
from gristmill.api.problems import ProblemDetails, documented, job_details
from gristmill.api.remembered import ReadyDatasets
from gristmill.api.submissions import JobPlan, JobRequest
from gristmill.api.submit import HeldProcessors, Keyed, Reply, plan_job, submit
from gristmill.api.watch import Watcher, await_job
from gristmill.db.engine import Database
from gristmill.db.jobs import cancel_job, get_job, list_jobs
from gristmill.db.retry import retry_job
from gristmill.db.rows import JobRow
from gristmill.domain.job import JobStatus, Progress
from gristmill.errors import Conflict, NotFound
from gristmill.objects import ObjectStore
from gristmill.settings import Settings

POLL_S = 1
MAX_POLL_S = 60


class ResultSummary(msgspec.Struct, frozen=True):
    """What a completed job made; `rows_in == rows_out + rows_dropped`."""

    files: int
    size_bytes: int
    rows_in: int
    rows_out: int
    rows_dropped: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job. It became `pending` at `created_at`, `running` at `started_at` and final at `finished_at`.

    A retry is `pending` with the last attempt's `error`; a cancel under way is `running` with `cancel_requested_at`.
    With `waits_for_dataset` it starts when its dataset is ready; `waits_for` is the dataset or job it waits for.
    With `reused_from` its result is, or will be, that of this identical job. `kind_version` is that of the kind as the
    job was put; 0: a program put it from SQL without saying.
    """

    id: UUID
    kind: str
    kind_version: int
    dataset_id: UUID
    input_job_id: UUID | None
    status: JobStatus
    waits_for_dataset: bool
    waits_for: UUID | None
    reused_from: UUID | None
    params: JsonObject
    labels: dict[str, str]
    priority: int
    limit_key: str
    attempt: int
    max_attempts: int
    timeout_s: int
    webhook: UUID | None
    progress: Progress | None
    error: ProblemDetails | None
    result: ResultSummary | None
    created_at: Moment
    updated_at: Moment
    scheduled_at: Moment
    started_at: Moment | None
    cancel_requested_at: Moment | None
    finished_at: Moment | None
    links: dict[str, str]


# Typed as a class, which the framework's annotation wants; the document tells of both.
JobOrPlan = cast("type[Any]", Job | JobPlan)


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[Job, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@post(
    status_code=202,
    operation_id="submitJob",
    summary="Submit a job",
    responses={
        200: ResponseSpec(
            JobOrPlan,
            description="Final already, within what was waited for; or the plan, with `validate_only=true`.",
            generate_examples=False,
        ),
        **documented(400, 404, 409, 413, 415, 422),
    },
    response_description="Accepted. `Location` is the job; look again after `Retry-After` seconds.",
)
async def submit_job(
    *,
    data: Annotated[
        JobRequest,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=examples.JOB, summary="Metrics")]),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    processors: NamedDependency[HeldProcessors],
    watcher: NamedDependency[Watcher],
    quotas: NamedDependency[Quotas],
    ready: NamedDependency[ReadyDatasets],
    owner: NamedDependency[str],
    validate_only: Annotated[
        bool, QueryParameter(description="Answer what the job would do, and create nothing.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Job]:
    """Params are checked now: against the kind always, against the columns where the dataset is ready.

    On a dataset that is still `validating` the job waits, and is checked against the columns when they are known.
    With `Prefer: wait=N` the answer waits for the end of the job: 200 if it came, else 202.
    """
    if validate_only:
        plan = await plan_job(database, store, settings, processors, owner=owner, request=data)
        return cast("Response[Job]", Response(plan, status_code=200))
    key = await request_key(request, idempotency_key, settings, owner=owner)
    if (first := await first_answer(database, key, Job)) is not None:
        return first
    await quotas.take_jobs(owner=owner)
    keyed = None if key is None else Keyed(key, _reply_of_one)
    (row,) = await submit(database, store, settings, processors, owner=owner, requests=[data], ready=ready, keyed=keyed)
    wait_s = preferred_wait(prefer)
    if wait_s is not None:
        admitted = admission(request)
        row = await await_job(watcher, database, row, admitted=admitted, wait_s=wait_s, until=_is_final)
    headers = {"Location": f"/jobs/{row.id}", **retry_after(row), **applied(wait_s)}
    return Response(job_of(row), status_code=200 if wait_s is not None and row.status.final else 202, headers=headers)


@get(
    operation_id="listJobs",
    summary="List jobs",
    responses=documented(400, 422),
    response_description="A page of jobs, newest first.",
)
async def list_all_jobs(
    *,
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    status: Annotated[JobStatus | None, QueryParameter(description="Only of this status.")] = None,
    kind: Annotated[
        str | None, QueryParameter(max_length=64, description="Only of this kind; `ingest` jobs are listed so alone.")
    ] = None,
    dataset_id: Annotated[UUID | None, QueryParameter(description="Only on this dataset.")] = None,
    label: Labels = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    finished_after: FinishedAfter = None,
    finished_before: FinishedBefore = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[JobPage]:
    created = interval("created", created_after, created_before)
    finished = interval("finished", finished_after, finished_before)
    filters: Filters = {
        "status": status,
        "kind": checked_text(kind, "/query/kind"),
        "dataset_id": None if dataset_id is None else str(dataset_id),
        "label": sorted(label) if label else None,
        **shown("created", created),
        **shown("finished", finished),
    }
    paging = Paging(of="jobs", path="/jobs", owner=owner, limit=limit, cursor=cursor, filters=filters)
    rows = await list_jobs(
        database,
        owner=owner,
        limit=paging.rows,
        before=paging.before,
        status=status,
        kind=kind,
        dataset_id=dataset_id,
        labels=wanted_labels(label),
        created=created,
        finished=finished,
    )
    return paging.answer(rows, job_of, JobPage)


@get(
    "/{job_id:uuid}",
    operation_id="getJob",
    summary="Look at a job",
    responses={304: ResponseSpec(None, description="It is as it was told before."), **documented(404)},
    response_description="The job. While it is not final, look again after `Retry-After` seconds.",
)
async def look_at_job(
    job_id: JobId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    watcher: NamedDependency[Watcher],
    owner: NamedDependency[str],
    if_none_match: IfNoneMatch = None,
    prefer: Prefer = None,
) -> Response[Job]:
    """With `Prefer: wait=N` the answer waits until the job is another than the `ETag` in `If-None-Match` says, or than
    it was when asked for. A final job is told at once.
    """
    row = await found_job(database, job_id, owner=owner)
    wait_s = preferred_wait(prefer)
    if wait_s is not None:
        known = if_none_match or _etag(job_of(row))
        row = await await_job(
            watcher,
            database,
            row,
            admitted=admission(request),
            wait_s=wait_s,
            until=lambda now: not matches(known, _etag(job_of(now))),
        )
    job = job_of(row)
    headers = {"ETag": _etag(job), "Cache-Control": "private, no-cache", **retry_after(row), **applied(wait_s)}
    if matches(if_none_match, headers["ETag"]):
        return cast("Response[Job]", Response(None, status_code=304, headers=headers))
    return Response(job, headers=headers)


@post(
    "/{job_id:uuid}/cancel",
    status_code=202,
    operation_id="cancelJob",
    summary="Cancel a job",
    responses={
        200: ResponseSpec(Job, description="A pending job is canceled already.", generate_examples=False),
        **documented(404, 409),
    },
    response_description="A running job is being stopped.",
)
async def cancel(job_id: JobId, database: NamedDependency[Database], owner: NamedDependency[str]) -> Response[Job]:
    """A pending job is canceled at once (200). A running one is stopped (202) and never completes after this answer."""
    status = await cancel_job(database, job_id, owner=owner)
    row = await found_job(database, job_id, owner=owner)
    if status is None:
        raise Conflict(f"The job is {row.status.value}: there is nothing to cancel.")
    return Response(job_of(row), status_code=200 if status.final else 202, headers=retry_after(row))


@post(
    "/{job_id:uuid}/retry",
    status_code=202,
    operation_id="retryJob",
    summary="Run a job again",
    responses=documented(404, 409),
    response_description="The job is in the queue again, with all its attempts before it.",
)
async def retry(
    job_id: JobId, database: NamedDependency[Database], quotas: NamedDependency[Quotas], owner: NamedDependency[str]
) -> Response[Job]:
    """A failed or canceled job runs again. Where what it needs has failed, that has to be tried again first."""
    await quotas.take_jobs(owner=owner)
    done = await retry_job(database, job_id, owner=owner)
    row = await found_job(database, job_id, owner=owner)
    if not done:
        raise Conflict(f"The job is {row.status.value}: only failed and canceled jobs run again.")
    return Response(job_of(row), headers=retry_after(row))


def _reply_of_one(rows: list[JobRow]) -> Reply:
    (row,) = rows
    return Reply(202, f"/jobs/{row.id}", msgspec.json.encode(job_of(row)))


async def found_job(database: Database, job_id: UUID, *, owner: str) -> JobRow:
    """The job of this owner. Raises NotFound."""
    row = await get_job(database, job_id, owner=owner)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def retry_after(row: JobRow) -> dict[str, str]:
    """When to look again: soon, or when a delayed job is due; nothing for a final one."""
    if row.status.final:
        return {}
    wait_s = (row.scheduled_at - datetime.now(UTC)).total_seconds() if row.status is JobStatus.PENDING else 0
    return {"Retry-After": str(min(max(math.ceil(wait_s), POLL_S), MAX_POLL_S))}


def _is_final(row: JobRow) -> bool:
    return row.status.final


def _etag(job: Job) -> str:
    # A heartbeat touches the row and tells nothing.
    return weak_etag(msgspec.structs.replace(job, updated_at=job.created_at))


# What a job tells of its row just as it is there.
PLAIN = tuple(name for name in Job.__struct_fields__ if name in JobRow.__struct_fields__ and name != "error")
_plain = attrgetter(*PLAIN)


def job_of(row: JobRow) -> Job:
    return Job(
        **dict(zip(PLAIN, _plain(row), strict=True)),
        webhook=row.webhook_id,
        waits_for_dataset=row.blocked and row.waits_for == row.dataset_id,
        error=None if row.error is None else job_details(row.error, instance=f"/jobs/{row.id}"),
        result=_summary(row),
        links=_links(row),
    )


def _summary(row: JobRow) -> ResultSummary | None:
    made = row.manifest
    if made is None:
        return None
    return ResultSummary(len(made.files), made.size_bytes, made.rows_in, made.rows_out, made.rows_dropped)


def _links(row: JobRow) -> dict[str, str]:
    path = f"/jobs/{row.id}"
    links = {
        "self": path,
        "events": f"{path}/events",
        "result": f"{path}/result",
        "dataset": f"/datasets/{row.dataset_id}",
    }
    if row.input_job_id is not None:
        links["input"] = f"/jobs/{row.input_job_id}"
    if row.manifest is not None and row.manifest.columns:
        links["rows"] = f"{path}/result/rows"
    if not row.status.final:
        links["cancel"] = f"{path}/cancel"
    elif row.status is not JobStatus.COMPLETED:
        links["retry"] = f"{path}/retry"
    return links


def routes(*more: Any) -> Router:
    own = [submit_job, list_all_jobs, look_at_job, cancel, retry]
    return Router("/jobs", route_handlers=[*own, *more], tags=["Jobs"])
