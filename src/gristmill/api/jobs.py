"""Jobs: submit, look at, list, cancel."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, QueryParameter
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.document import JobId, JsonObject
from gristmill.api.paging import Cursor, Filters, Limit, before, checked_text, encode_cursor, next_link
from gristmill.api.problems import ProblemDetails, documented, job_details
from gristmill.db.datasets import get_dataset
from gristmill.db.engine import Database
from gristmill.db.enqueue import NewJob, enqueue_job
from gristmill.db.jobs import cancel_job, get_job, list_jobs
from gristmill.db.rows import DatasetRow, JobRow
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus, Progress
from gristmill.errors import Conflict, DatasetFailed, Fault, InvalidRequest, NotFound
from gristmill.processors import AnyProcessor, find
from gristmill.processors.contract import decode_params
from gristmill.settings import Settings

POLL_S = 1
MAX_POLL_S = 60
MAX_TIMEOUT_S = 7 * 24 * 3600

Label = Annotated[str, Meta(min_length=1, max_length=64)]
LabelValue = Annotated[str, Meta(max_length=256)]
Processors = Mapping[str, AnyProcessor]


def _no_params() -> JsonObject:
    return JsonObject(b"{}")


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a job works on."""

    dataset_id: UUID


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit. The dataset is given as `dataset_id` or as `input`."""

    kind: Annotated[str, Meta(min_length=1, max_length=64, description="One of `GET /processors`.")]
    dataset_id: UUID | None = None
    input: JobInput | None = None
    params: Annotated[JsonObject, Meta(description="By the kind: see `GET /processors/{kind}`.")] = msgspec.field(
        default_factory=_no_params
    )
    priority: Annotated[int, Meta(ge=-100, le=100, description="Higher goes first.")] = 0
    scheduled_at: Annotated[datetime, Meta(tz=True, description="Not before this time.")] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Default: a setting of the server.")] | None = None
    timeout_s: (
        Annotated[int, Meta(ge=1, le=MAX_TIMEOUT_S, description="Seconds an attempt may run; default: a setting.")]
        | None
    ) = None
    labels: Annotated[dict[Label, LabelValue], Meta(max_length=32)] = msgspec.field(default_factory=dict)


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
    With `waits_for_dataset` it starts when its dataset is ready.
    """

    id: UUID
    kind: str
    kind_version: int
    dataset_id: UUID
    status: JobStatus
    waits_for_dataset: bool
    params: JsonObject
    labels: dict[str, str]
    priority: int
    attempt: int
    max_attempts: int
    timeout_s: int
    progress: Progress | None
    error: ProblemDetails | None
    result: ResultSummary | None
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime
    started_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[Job, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@post(
    status_code=202,
    operation_id="submitJob",
    summary="Submit a job",
    responses=documented(400, 404, 409, 413, 415, 422),
    response_description="Accepted. `Location` is the job; look again after `Retry-After` seconds.",
)
async def submit_job(
    data: Annotated[
        JobRequest,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=examples.JOB, summary="Metrics")]),
    ],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    processors: NamedDependency[Processors],
    owner: NamedDependency[str],
) -> Response[Job]:
    """Params are checked now: against the kind always, against the columns where the dataset is ready.

    On a dataset that is still `validating` the job waits, and is checked against the columns when they are known.
    """
    row = await enqueue(
        database,
        settings,
        processors,
        owner=owner,
        dataset_id=_dataset_of(data),
        request=data,
        params=bytes(data.params),
    )
    return Response(job_of(row), headers={"Location": f"/jobs/{row.id}", **retry_after(row)})


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
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[JobPage]:
    filters: Filters = {
        "status": status,
        "kind": checked_text(kind, "/query/kind"),
        "dataset_id": None if dataset_id is None else str(dataset_id),
    }
    rows = await list_jobs(
        database,
        owner=owner,
        limit=limit + 1,
        before=before(cursor, of="jobs", owner=owner, filters=filters),
        status=status,
        kind=kind,
        dataset_id=dataset_id,
    )
    items = tuple(job_of(row) for row in rows[:limit])
    more = len(rows) > limit
    following = encode_cursor(items[-1].id, of="jobs", owner=owner, filters=filters) if more else msgspec.UNSET
    return Response(JobPage(items, following), headers=next_link("/jobs", filters, limit=limit, cursor=following))


@get(
    "/{job_id:uuid}",
    operation_id="getJob",
    summary="Look at a job",
    responses=documented(404),
    response_description="The job. While it is not final, look again after `Retry-After` seconds.",
)
async def look_at_job(job_id: JobId, database: NamedDependency[Database], owner: NamedDependency[str]) -> Response[Job]:
    row = await found_job(database, job_id, owner=owner)
    return Response(job_of(row), headers=retry_after(row))


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


async def enqueue(
    database: Database,
    settings: Settings,
    processors: Processors,
    *,
    owner: str,
    dataset_id: UUID,
    request: JobRequest,
    params: bytes,
) -> JobRow:
    """Check a job and put it in the queue.

    Raises:
        UnknownKind, InvalidRequest: it does not fit.
        NotFound: no such dataset of this owner.
        DatasetFailed: nothing can be done with the dataset.
    """
    processor = find(request.kind, processors)
    checked = decode_params(processor, params)
    dataset = await get_dataset(database, dataset_id, owner=owner)
    if dataset is None:
        raise NotFound("There is no such dataset.")
    if dataset.columns is not None:
        processor.plan(dataset.columns, checked)
    job = NewJob(
        owner=owner,
        dataset_id=dataset_id,
        kind=processor.kind,
        kind_version=processor.version,
        params=msgspec.json.encode(checked),
        max_attempts=request.max_attempts or settings.max_attempts,
        timeout_s=request.timeout_s or settings.job_timeout_s,
        labels=msgspec.json.encode(request.labels),
        priority=request.priority,
        scheduled_at=_checked_time(request.scheduled_at),
    )
    row = None if dataset.status is DatasetStatus.FAILED else await enqueue_job(database, job)
    if row is None:
        raise _refused(dataset)
    return row


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


def job_of(row: JobRow) -> Job:
    own = {"waits_for_dataset", "error", "result", "links"}
    plain: dict[str, Any] = {name: getattr(row, name) for name in Job.__struct_fields__ if name not in own}
    return Job(
        **plain,
        waits_for_dataset=row.blocked,
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
    links = {
        "self": f"/jobs/{row.id}",
        "events": f"/jobs/{row.id}/events",
        "result": f"/jobs/{row.id}/result",
        "dataset": f"/datasets/{row.dataset_id}",
    }
    return links if row.status.final else {**links, "cancel": f"/jobs/{row.id}/cancel"}


def _dataset_of(request: JobRequest) -> UUID:
    inner = request.input.dataset_id if request.input else None
    if request.dataset_id is not None and inner is not None and inner != request.dataset_id:
        fault = Fault("/dataset_id", "It is another one than that of `input`.")
        raise InvalidRequest("The job has two datasets.", errors=(fault,))
    dataset_id = request.dataset_id or inner
    if dataset_id is None:
        fault = Fault("/dataset_id", "Name the dataset, here or as `input`.")
        raise InvalidRequest("The job has no dataset.", errors=(fault,))
    return dataset_id


def _checked_time(moment: datetime | None) -> datetime | None:
    # The ends of the calendar overflow when a zone is applied.
    if moment is not None and not 2000 <= moment.year < 3000:
        fault = Fault("/scheduled_at", "It must be in the years 2000 to 2999.")
        raise InvalidRequest("The time does not fit.", errors=(fault,))
    return moment


def _refused(dataset: DatasetRow) -> DatasetFailed:
    why = "." if dataset.error is None else f": {dataset.error.detail}"
    return DatasetFailed(f"The dataset could not be made ready{why}")


def routes(*more: Any) -> Router:
    return Router("/jobs", route_handlers=[submit_job, list_all_jobs, look_at_job, cancel, *more], tags=["Jobs"])
