"""Datasets: upload, look at, list."""

from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import QueryParameter

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.conditions import IfNoneMatch, matches, strong_etag
from gristmill.api.descriptions import JSON_TYPE, documented_descriptions, peek
from gristmill.api.document import DatasetId, JsonObject, Moment
from gristmill.api.filters import CreatedAfter, CreatedBefore, Labels, interval, shown, wanted_labels
from gristmill.api.idempotency import REPLAYED, IdempotencyKey, checked_key, idle_s, replay
from gristmill.api.limits import Quotas
from gristmill.api.paging import Cursor, Filters, Limit, Paging, checked_text
from gristmill.api.presigned import Upload
from gristmill.api.problems import ProblemDetails, details, documented
from gristmill.api.submit import HeldProcessors
from gristmill.api.upload import Incoming, Patience, Uploads
from gristmill.api.ways import Ways
from gristmill.db.datasets import FirstJob, get_dataset, list_datasets
from gristmill.db.engine import Database
from gristmill.db.idempotency import RequestKey, check_payload, find_answer, note_body
from gristmill.db.jobs import list_jobs
from gristmill.db.rows import DatasetRow
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, DatasetStatus
from gristmill.domain.job import INGEST_KIND
from gristmill.errors import MalformedRequest, NotFound
from gristmill.ingest.formats import FORMATS, MEDIA_TYPES
from gristmill.objects import ObjectStore
from gristmill.processors import AnyProcessor, find
from gristmill.processors.contract import decode_params
from gristmill.settings import Settings

READY_LINKS = ("profile", "rows", "rejects")


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset in a list. Rows are known when it is `ready`; `rows_read == rows_loaded + rows_rejected`.

    `sha256` is that of the original, in hex; null until ingest has read it where we did not receive it ourselves.
    """

    id: UUID
    name: str
    status: DatasetStatus
    format: DataFormat
    media_type: str
    size_bytes: int
    sha256: str | None
    rows_read: int | None
    rows_loaded: int | None
    rows_rejected: int | None
    rows_repaired: int | None
    error: ProblemDetails | None
    labels: dict[str, str]
    created_at: Moment
    updated_at: Moment
    expires_at: Moment | None
    links: dict[str, str]


class Dataset(DatasetSummary, frozen=True, kw_only=True):
    """A dataset with what ingest found in it: columns, dialect and profile are there when it is `ready`."""

    options: JsonObject
    columns: tuple[Column, ...] | None
    dialect: JsonObject | None
    profile: JsonObject | None
    warnings: tuple[str, ...] | None


class DatasetPage(msgspec.Struct, frozen=True):
    """Datasets, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[DatasetSummary, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


def _upload_bodies() -> RequestBody:
    binary = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
    form = Schema(
        type=OpenAPIType.OBJECT,
        required=["file"],
        properties={
            "file": Schema(
                type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="The data, plain, gzip or zstd."
            ),
            "name": Schema(type=OpenAPIType.STRING, description="Default: the file's name.", max_length=255),
            "format": Schema(type=OpenAPIType.STRING, description=f"One of {', '.join(FORMATS)}."),
            "options": Schema(type=OpenAPIType.STRING, description="A JSON object of options for reading."),
        },
    )
    raw = {media_type: OpenAPIMediaType(schema=binary) for media_type in MEDIA_TYPES}
    samples = {"text/csv": examples.CSV, "application/x-ndjson": examples.NDJSON}
    told = {
        media_type: OpenAPIMediaType(schema=binary, examples={"small": Example(value=sample)})
        for media_type, sample in samples.items()
    }
    return RequestBody(
        content={
            "text/csv": told["text/csv"],
            "multipart/form-data": OpenAPIMediaType(schema=form),
            **raw,
            **told,
            JSON_TYPE: documented_descriptions(),
            "application/octet-stream": OpenAPIMediaType(schema=binary),
        },
        description="The file in a form, the data itself as the body, streamed, or in JSON where it comes from.",
        required=True,
    )


@dataclass
class UploadOperation(Operation):
    """The framework sees no body here, because the route reads it as it comes."""

    request_body: RequestBody = field(default_factory=_upload_bodies)

    def __post_init__(self) -> None:
        self.request_body = _upload_bodies()


@post(
    status_code=201,
    operation_id="createDataset",
    summary="Upload a dataset",
    operation_class=UploadOperation,
    request_max_body_size=None,  # the upload counts for itself, against a limit of its own
    responses=documented(400, 404, 408, 409, 413, 415, 422),
    response_description="Stored, and `validating`. `Location` is the dataset; `links.ingest_job` reads it.",
)
async def create_dataset(
    *,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    processors: NamedDependency[HeldProcessors],
    quotas: NamedDependency[Quotas],
    owner: NamedDependency[str],
    name: Annotated[str | None, QueryParameter(description="Its name; a field of the form goes before.")] = None,
    format: Annotated[  # noqa: A002 (the word of the contract)
        str | None, QueryParameter(description=f"One of {', '.join(FORMATS)}; it goes before Content-Type.")
    ] = None,
    options: Annotated[str | None, QueryParameter(description="A JSON object of options for reading.")] = None,
    job: Annotated[str | None, QueryParameter(description="Also submit a job of this kind, with its defaults.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[Dataset | Upload]:
    """Send the file in a form (`multipart/form-data`) or as the body itself. Either is stored while it arrives.

    Or say in a JSON object where the data comes from: `"upload": "presigned"` (the answer is then the upload, with URLs
    for its parts), `"source": "s3://bucket/key"`, or `"from_job"`. A JSON array is data itself.

    A `Repr-Digest` or `Content-Digest` header (`sha-256=:BASE64:`) is checked; what does not match is not kept. On a
    form it may be the digest of the file or of the whole body. With an `Idempotency-Key`, an upload is the same when
    its data is, byte by byte, with the same name, format, options and job; it is read to its end to know that.
    """
    first_job = None if job is None else _first_job(find(job, processors))
    receive = request.receive
    if request.content_type[0].lower() == JSON_TYPE and format is None:
        patience = Patience(settings.upload_idle_s, settings.upload_min_rate)
        peeked = await peek(receive, patience)
        if peeked.start == b"{":
            body = await peeked.whole(patience, max_bytes=settings.max_body_bytes)
            await quotas.check_storage(None, owner=owner)
            await quotas.take_jobs(1 if first_job is None else 2, owner=owner)
            ways = Ways(settings, database, store, owner=owner)
            done = await ways.take(body, first_job=first_job, given_key=idempotency_key)
            if isinstance(done, Response):
                return done
            return await _created(database, done.dataset_id, owner=owner, kind=job, key=done.key, again=done.again)
        receive = peeked.receive
    incoming = _incoming(request, name=name, data_format=format, options=options)
    uploads = Uploads(settings, database, store)
    key = _upload_key(idempotency_key, settings, owner=owner)
    first = None if key is None else await find_answer(database, key)
    if first is not None:
        check_payload(first, await uploads.identify(incoming, receive, first_job=first_job))
        if first.body is not None:
            return cast("Response[Dataset | Upload]", replay(first, Dataset))
    made = None if first is None else first.upload_id
    if made is None:
        async with store.door:
            await quotas.check_storage(incoming.size_bytes, owner=owner)
        await quotas.take_jobs(1 if first_job is None else 2, owner=owner)
    dataset_id = made or await uploads.take(incoming, receive, owner=owner, first_job=first_job, key=key)
    return await _created(database, dataset_id, owner=owner, kind=job, key=key, again=made is not None)


async def _created(
    database: Database, dataset_id: UUID, *, owner: str, kind: str | None, key: RequestKey | None, again: bool
) -> Response[Dataset | Upload]:
    """The answer to who made a dataset, kept for who asks with the same key."""
    links = await job_links(database, dataset_id, owner=owner, kind=kind)
    dataset = dataset_of(await found_dataset(database, dataset_id, owner=owner))
    told = msgspec.structs.replace(dataset, links={**dataset.links, **links})
    if key is not None:
        await note_body(database, key, dataset_id, msgspec.json.encode(told))
    return Response(told, headers={"Location": f"/datasets/{dataset_id}", **(REPLAYED if again else {})})


@get(
    operation_id="listDatasets",
    summary="List datasets",
    responses=documented(400, 422),
    response_description="A page of datasets, newest first.",
)
async def list_all_datasets(
    *,
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    status: Annotated[DatasetStatus | None, QueryParameter(description="Only of this status.")] = None,
    format: Annotated[  # noqa: A002 (the word of the contract)
        DataFormat | None, QueryParameter(description="Only of this format.")
    ] = None,
    name: Annotated[str | None, QueryParameter(description="Only of exactly this name.")] = None,
    label: Labels = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[DatasetPage]:
    labels, created = wanted_labels(label), interval("created", created_after, created_before)
    filters: Filters = {
        "status": status,
        "format": format,
        "name": checked_text(name, "/query/name"),
        "label": sorted(label) if label else None,
        **shown("created", created),
    }
    paging = Paging(of="datasets", path="/datasets", owner=owner, limit=limit, cursor=cursor, filters=filters)
    rows = await list_datasets(
        database,
        owner=owner,
        limit=paging.rows,
        before=paging.before,
        status=status,
        data_format=format,
        name=name,
        labels=labels,
        created=created,
    )
    return paging.answer(rows, summary_of, DatasetPage)


@get(
    "/{dataset_id:uuid}",
    operation_id="getDataset",
    summary="Look at a dataset",
    responses={304: ResponseSpec(None, description="It is as it was told before."), **documented(404)},
    response_description="The dataset. Its `ETag` goes into `If-Match` of a change, and into `If-None-Match`.",
)
async def look_at_dataset(
    dataset_id: DatasetId,
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    if_none_match: IfNoneMatch = None,
) -> Response[Dataset]:
    dataset = dataset_of(await found_dataset(database, dataset_id, owner=owner))
    headers = validators(dataset)
    if matches(if_none_match, headers["ETag"]):
        return cast("Response[Dataset]", Response(None, status_code=304, headers=headers))
    return Response(dataset, headers=headers)


def validators(dataset: Dataset) -> dict[str, str]:
    """The headers by which a client knows whether the dataset is still as it was told."""
    return {"ETag": strong_etag(dataset), "Cache-Control": "private, no-cache"}


def summary_of(row: DatasetRow) -> DatasetSummary:
    return DatasetSummary(**_summary(row))


def dataset_of(row: DatasetRow) -> Dataset:
    return Dataset(
        **_summary(row),
        options=row.options,
        columns=row.columns,
        dialect=row.dialect,
        profile=row.profile,
        warnings=row.warnings,
    )


def _summary(row: DatasetRow) -> dict[str, Any]:
    own = {"error", "links"}
    plain = {name: getattr(row, name) for name in DatasetSummary.__struct_fields__ if name not in own}
    path = f"/datasets/{row.id}"
    return {
        **plain,
        "error": None if row.error is None else details(row.error, instance=path),
        "links": {
            "self": path,
            "jobs": f"/jobs?dataset_id={row.id}",
            "ingest_jobs": f"/jobs?kind={INGEST_KIND}&dataset_id={row.id}",
            "content": f"{path}/content",
            **({name: f"{path}/{name}" for name in READY_LINKS} if row.status is DatasetStatus.READY else {}),
        },
    }


async def found_dataset(database: Database, dataset_id: UUID, *, owner: str) -> DatasetRow:
    """The dataset of this owner. Raises NotFound."""
    row = await get_dataset(database, dataset_id, owner=owner)
    if row is None:
        raise NotFound("There is no such dataset.")
    return row


async def job_links(database: Database, dataset_id: UUID, *, owner: str, kind: str | None) -> dict[str, str]:
    """Links to the jobs that were made together with a dataset: its ingest, and one of this kind."""
    links = await _job_link(database, dataset_id, owner, kind=INGEST_KIND, name="ingest_job")
    if kind is not None:
        links |= await _job_link(database, dataset_id, owner, kind=kind, name="job")
    return links


async def _job_link(database: Database, dataset_id: UUID, owner: str, *, kind: str, name: str) -> dict[str, str]:
    jobs = await list_jobs(database, owner=owner, limit=1, kind=kind, dataset_id=dataset_id)
    return {name: f"/jobs/{jobs[0].id}"} if jobs else {}


def _upload_key(given: str | None, settings: Settings, *, owner: str) -> RequestKey | None:
    """The key of an upload, whose payload is not known before its end. Raises InvalidRequest."""
    if given is None:
        return None
    return RequestKey(owner=owner, key=checked_key(given), payload_sha256=None, idle_s=idle_s(settings))


def _first_job(processor: AnyProcessor) -> FirstJob:
    """A job of this kind with its defaults. Raises InvalidRequest for a kind that can't do without params."""
    return FirstJob(processor.kind, processor.version, msgspec.json.encode(decode_params(processor, b"{}")))


def _incoming(
    request: Request[Caller, None, State], *, name: str | None, data_format: str | None, options: str | None
) -> Incoming:
    media_type, told = request.content_type
    announced = request.headers.get("Content-Length")
    if announced is not None and not announced.isdecimal():
        raise MalformedRequest("Content-Length is not a number.")
    return Incoming(
        media_type=media_type.lower(),
        boundary=told.get("boundary"),
        size_bytes=None if announced is None else int(announced),
        name=name,
        told_format=data_format,
        options=None if options is None else options.encode(),
        repr_digest=request.headers.get("Repr-Digest"),
        content_digest=request.headers.get("Content-Digest"),
    )


def routes(*more: Any) -> Router:
    own = [create_dataset, list_all_datasets, look_at_dataset]
    return Router("/datasets", route_handlers=[*own, *more], tags=["Datasets"])
