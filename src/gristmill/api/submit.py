"""Taking jobs in: what a request for one looks like, how it is checked, and how it becomes a row."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar.params import SkipValidation
from msgspec import Meta

from gristmill.api.document import JsonObject
from gristmill.api.naming import Documents, datasets_of, documents_of, look_up, read_documents
from gristmill.api.remembered import ReadyDatasets
from gristmill.db.datasets import get_datasets
from gristmill.db.dependents import Ended, input_failed
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs, insert_jobs
from gristmill.db.idempotency import RequestKey, creating
from gristmill.db.jobs import find_twin, get_jobs
from gristmill.db.rows import DatasetRow, JobRow, NewJob
from gristmill.db.webhooks import get_webhooks
from gristmill.domain.column import Column
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus
from gristmill.domain.output import OutputFormat
from gristmill.domain.reuse import dataset_digest, reuse_key
from gristmill.errors import DatasetFailed, Fault, GristmillError, InvalidRequest, NotFound, UnknownKind
from gristmill.objects import ObjectStore
from gristmill.processors import AnyProcessor, find
from gristmill.processors.contract import Planned, PlannedStep, decode_params
from gristmill.processors.naming import declared, given, pointing, with_documents
from gristmill.processors.run import planned
from gristmill.settings import Settings
from gristmill.steps import step

MAX_TIMEOUT_S = 7 * 24 * 3600

Label = Annotated[str, Meta(min_length=1, max_length=64)]
LabelValue = Annotated[str, Meta(max_length=256)]
Processors = Mapping[str, AnyProcessor]
# As handlers are given them: the framework would check each of them, and copy them all, at every request.
HeldProcessors = SkipValidation[Processors]


def _no_params() -> JsonObject:
    return msgspec.Raw(b"{}")


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a job works on: a dataset, or the rows that another job makes. It waits for what is not there yet."""

    dataset_id: UUID | None = None
    job_id: UUID | None = None


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit. Its data is given as `dataset_id` or as `input`."""

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
    limit_key: Annotated[str, Meta(max_length=200, description="A name that a limit can be set for.")] = ""
    webhook: (
        Annotated[UUID, Meta(description="A webhook of `POST /webhooks`: it is told when the job is final.")] | None
    ) = None
    reuse: Annotated[
        Literal["any", "none"],
        Meta(description="any: an identical job's result is taken, or waited for; none: the work is done again."),
    ] = "any"


class JobBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs to submit together."""

    jobs: Annotated[tuple[JobRequest, ...], Meta(min_length=1, max_length=1000)]


class Known(msgspec.Struct, frozen=True):
    """What the jobs of a request work on and what their params name, as far as it is their owner's."""

    datasets: Mapping[UUID, DatasetRow]
    jobs: Mapping[UUID, JobRow]
    documents: Documents
    webhooks: frozenset[UUID] = frozenset()


class Reply(msgspec.Struct, frozen=True):
    """What is answered to a request that creates, in the form in which it is kept for a replay."""

    status: int
    location: str | None
    body: bytes


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would do: the params with their defaults, and the `steps` with their columns. The steps are null while
    these are not known: the dataset is `validating`, or the job whose result is the data is not final.

    With `reuses` the job would take the result of this identical one, or wait for it.
    """

    kind: str
    kind_version: int
    dataset_id: UUID
    input_job_id: UUID | None
    params: JsonObject
    max_attempts: int
    timeout_s: int
    steps: tuple[PlannedStep, ...] | None
    warnings: tuple[str, ...]
    reuses: UUID | None


@dataclass(frozen=True)
class Keyed:
    """The key of a submission, and how its answer is made of the rows: they are committed together."""

    key: RequestKey
    reply: Callable[[list[JobRow]], Reply]


async def submit(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    processors: Processors,
    *,
    owner: str,
    requests: Sequence[JobRequest],
    ready: ReadyDatasets,
    batch: bool = False,
    keyed: Keyed | None = None,
) -> list[JobRow]:
    """Check jobs and put them in the queue, all or none. In a batch all faults are told, each under `/jobs/<n>`.

    One job on a dataset that is `ready` already costs a single statement.

    Raises:
        UnknownKind, InvalidRequest: one does not fit.
        NotFound: no such dataset or job of this owner.
        DatasetFailed, InputFailed: nothing can be done with it.
        KeyInUse: another request with the same key is under way.
        TooLarge: the documents that params name are too large.
    """
    with step("enqueue"):
        if (known := _remembered(ready, processors, requests, owner=owner)) is not None:
            # The statement that adds it looks whether the dataset is still there. Where anything is amiss all is looked
            # at again, so that what is told is of now.
            with suppress(InvalidRequest, UnknownKind, NotFound, DatasetFailed):
                job = _checked(settings, processors, requests[0], known, owner=owner)
                return await _put(database, [job], keyed)
            for dataset_id in known.datasets:
                ready.forget(dataset_id, owner=owner)
        known = await _known(database, store, processors, requests, owner=owner)
        ready.see(known.datasets.values())
        jobs = _all_checked(settings, processors, requests, known, owner=owner, batch=batch)
        return await _put(database, jobs, keyed)


def _remembered(
    ready: ReadyDatasets, processors: Processors, requests: Sequence[JobRequest], *, owner: str
) -> Known | None:
    """What the job works on, where that is one dataset and nothing else is named; None: ask the database."""
    request = requests[0]
    if len(requests) > 1 or request.dataset_id is None or request.input is not None or request.webhook is not None:
        return None
    row = ready.get(request.dataset_id, owner=owner)
    if row is None or any(given(params) for params in _naming(requests, processors)):
        return None
    return Known({row.id: row}, {}, {})


def _all_checked(
    settings: Settings,
    processors: Processors,
    requests: Sequence[JobRequest],
    known: Known,
    *,
    owner: str,
    batch: bool,
) -> list[NewJob]:
    jobs: list[NewJob] = []
    faults: list[Fault] = []
    for place, request in enumerate(requests):
        try:
            jobs.append(_checked(settings, processors, request, known, owner=owner))
        except (InvalidRequest, UnknownKind, NotFound) as error:
            if not batch:
                raise
            faults += _under(f"/jobs/{place}", error)
    if faults:
        raise InvalidRequest("Some of the jobs do not fit; none was submitted.", errors=tuple(faults))
    return jobs


async def _put(database: Database, jobs: Sequence[NewJob], keyed: Keyed | None) -> list[JobRow]:
    if keyed is None:
        return _all_of(await enqueue_jobs(database, jobs))
    async with creating(database, keyed.key) as creation:
        rows = _all_of(await insert_jobs(creation.driver, jobs))
        reply = keyed.reply(rows)
        await creation.answered(status=reply.status, location=reply.location, body=reply.body)
    return rows


async def plan_job(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    processors: Processors,
    *,
    owner: str,
    request: JobRequest,
) -> JobPlan:
    """Check a job as `submit` does, and submit nothing. Raises as `submit`."""
    known = await _known(database, store, processors, [request], owner=owner)
    job, plan = _examined(settings, processors, request, known, owner=owner)
    source = known.jobs[job.input_job_id] if job.input_job_id is not None else None
    if source is not None and source.status in (JobStatus.FAILED, JobStatus.CANCELED):
        raise input_failed(Ended(source.id, source.status))
    return JobPlan(
        kind=job.kind,
        kind_version=job.kind_version,
        dataset_id=job.dataset_id,
        input_job_id=job.input_job_id,
        params=msgspec.Raw(job.params),
        max_attempts=job.max_attempts,
        timeout_s=job.timeout_s,
        steps=None if plan is None else plan.outline(),
        warnings=() if plan is None else plan.warnings,
        reuses=None if job.reuse_key is None else await find_twin(database, job.reuse_key, owner=owner),
    )


def _all_of(made: Sequence[JobRow | None]) -> list[JobRow]:
    rows = [row for row in made if row is not None]
    if len(rows) < len(made):
        raise DatasetFailed("The dataset could not be made ready.")
    return rows


async def checked_job(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    processors: Processors,
    *,
    owner: str,
    request: JobRequest,
    under: str,
) -> NewJob:
    """One job, checked as `submit` does and not submitted. Its faults are told under a pointer. Raises as `submit`."""
    known = await _known(database, store, processors, [request], owner=owner)
    try:
        return _checked(settings, processors, request, known, owner=owner)
    except InvalidRequest as error:
        raise InvalidRequest(error.detail, errors=tuple(_under(under, error))) from error


async def _known(
    database: Database, store: ObjectStore, processors: Processors, requests: Sequence[JobRequest], *, owner: str
) -> Known:
    naming = _naming(requests, processors)
    documents = documents_of(naming)
    ids = {request.input.job_id for request in requests if request.input and request.input.job_id}
    ids |= {id_ for id_, _ in documents}
    jobs = {row.id: row for row in await get_jobs(database, sorted(ids), owner=owner)} if ids else {}
    wanted = {_dataset_of(request) for request in requests} | {job.dataset_id for job in jobs.values()}
    wanted |= datasets_of(naming)
    found = await get_datasets(database, [id_ for id_ in wanted if id_ is not None], owner=owner)
    read = await read_documents(store, documents, jobs) if documents else {}
    hooks = {request.webhook for request in requests if request.webhook is not None}
    there = await get_webhooks(database, sorted(hooks), owner=owner) if hooks else []
    return Known({row.id: row for row in found}, jobs, read, frozenset(row.id for row in there))


def _naming(requests: Sequence[JobRequest], processors: Processors) -> list[msgspec.Struct]:
    """The params that name other data. What does not fit its kind is told when the job itself is checked."""
    found = []
    for request in requests:
        processor = processors.get(request.kind)
        if processor is None or not declared(processor.Params):
            continue
        with suppress(InvalidRequest):
            found.append(decode_params(processor, bytes(request.params)))
    return found


def _checked(settings: Settings, processors: Processors, request: JobRequest, known: Known, *, owner: str) -> NewJob:
    return _examined(settings, processors, request, known, owner=owner)[0]


def _examined(
    settings: Settings, processors: Processors, request: JobRequest, known: Known, *, owner: str
) -> tuple[NewJob, Planned | None]:
    """The job, and its plan where the columns are known."""
    processor = find(request.kind, processors)
    params = decode_params(processor, bytes(request.params))
    if request.webhook is not None and request.webhook not in known.webhooks:
        raise InvalidRequest("The job does not fit.", errors=(Fault("/webhook", "There is no such webhook."),))
    source = _input_of(request, known, processors)
    if isinstance(source, DatasetRow):
        dataset_id, columns, input_job_id = source.id, source.columns, None
        digest = _digest_of(source)
    else:
        dataset_id, columns, input_job_id = source.dataset_id, _columns_of(source), source.id
        digest = source.reuse_key
    named = look_up(params, jobs=known.jobs, datasets=known.datasets, documents=known.documents)
    whole = with_documents(params, named.documents)
    plan: Planned | None = None
    if columns is not None:
        with pointing(params):
            plan = planned(processor, columns, whole, named.others)
    encoded = msgspec.json.encode(params)
    same = named.canonical(encoded)
    key = reuse_key(digest, kind=processor.kind, version=processor.version, params=same) if digest else None
    job = NewJob(
        owner=owner,
        dataset_id=dataset_id,
        input_job_id=input_job_id,
        kind=processor.kind,
        kind_version=processor.version,
        params=encoded,
        max_attempts=request.max_attempts or settings.max_attempts,
        timeout_s=request.timeout_s or settings.job_timeout_s,
        labels=msgspec.json.encode(request.labels),
        priority=request.priority,
        scheduled_at=checked_time(request.scheduled_at, "/scheduled_at"),
        limit_key=request.limit_key,
        webhook_id=request.webhook,
        reuse_key=key if request.reuse == "any" else None,
        sources=named.sources,
    )
    return job, plan


def _input_of(request: JobRequest, known: Known, processors: Processors) -> DatasetRow | JobRow:
    job_id = request.input.job_id if request.input else None
    if job_id is None:
        dataset = known.datasets.get(_dataset_of(request) or UUID(int=0))
        if dataset is None:
            raise NotFound("There is no such dataset.")
        if dataset.status is DatasetStatus.FAILED:
            raise _refused(dataset)
        return dataset
    job = known.jobs.get(job_id)
    if job is None:
        raise NotFound("There is no such job to take the result of.")
    if job.kind not in processors or not processors[job.kind].makes_rows():
        fault = Fault("/input/job_id", f"A job of kind {job.kind} makes no rows.")
        raise InvalidRequest("The result of that job is not a table.", errors=(fault,))
    form = _form_of(job)
    if form != OutputFormat.PARQUET:
        fault = Fault("/input/job_id", "Its result is not written as Parquet: only that can be taken as data.")
        raise InvalidRequest("The result of that job can't be taken as data.", errors=(fault,))
    return job


def _form_of(job: JobRow) -> object:
    """What a job's tables are, or will be, written as. Its params may be another program's, and of any form."""
    params = msgspec.json.decode(job.params)
    return params.get("output_format", OutputFormat.PARQUET) if isinstance(params, dict) else OutputFormat.PARQUET


def _digest_of(dataset: DatasetRow) -> str | None:
    """What identical work is told by; None while nobody has read the bytes."""
    if dataset.sha256 is None:
        return None
    return dataset_digest(sha256=dataset.sha256, data_format=dataset.format, options=bytes(dataset.options))


def _columns_of(job: JobRow) -> tuple[Column, ...] | None:
    """The columns of a job's result, once it has one."""
    return job.manifest.columns if job.manifest is not None else None


def _dataset_of(request: JobRequest) -> UUID | None:
    """The dataset that is asked for; None when the data is another job's result."""
    inner = request.input.dataset_id if request.input else None
    job_id = request.input.job_id if request.input else None
    named = {id_ for id_ in (request.dataset_id, inner, job_id) if id_ is not None}
    if len(named) > 1:
        fault = Fault("/dataset_id" if request.dataset_id else "/input", "It is not the only one.")
        raise InvalidRequest("The job has more than one input.", errors=(fault,))
    if not named:
        fault = Fault("/dataset_id", "Name the dataset, here or as `input`.")
        raise InvalidRequest("The job has no dataset.", errors=(fault,))
    return None if job_id is not None else named.pop()


def checked_time(moment: datetime | None, pointer: str) -> datetime | None:
    """The same time. Raises InvalidRequest: it is not of this millennium."""
    # The ends of the calendar overflow when a zone is applied.
    if moment is not None and not 2000 <= moment.year < 3000:
        fault = Fault(pointer, "It must be in the years 2000 to 2999.")
        raise InvalidRequest("The time does not fit.", errors=(fault,))
    return moment


def _refused(dataset: DatasetRow) -> DatasetFailed:
    why = "." if dataset.error is None else f": {dataset.error.detail}"
    return DatasetFailed(f"The dataset could not be made ready{why}")


def _under(place: str, error: GristmillError) -> list[Fault]:
    """The faults of one job of a batch."""
    if not error.errors:
        return [Fault(place, error.detail)]
    return [Fault(place + fault.pointer, fault.detail) for fault in error.errors]
