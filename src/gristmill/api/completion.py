"""The end of a presigned upload: what has arrived becomes the original of a dataset."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg
from msgspec import Meta

from gristmill import metrics
from gristmill.api.answers import Response
from gristmill.api.datasets import Dataset, dataset_of, found_dataset, job_links, validators
from gristmill.api.document import UploadId
from gristmill.api.problems import documented
from gristmill.db.datasets import commit_upload, get_dataset
from gristmill.db.engine import Database
from gristmill.db.presigned import PresignedRow, Promised, get_presigned
from gristmill.domain.manifest import original_key
from gristmill.errors import Conflict, Fault, InvalidRequest, NotFound
from gristmill.objects import Arrived, ObjectStore
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

log = get_logger(__name__)

MAX_FAULTS = 20


class SentPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part as the store has answered to its `PUT`: the `ETag` of that answer."""

    number: Annotated[int, Meta(ge=1, le=10_000)]
    etag: Annotated[str, Meta(min_length=1, max_length=200)]


class Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All parts of an upload."""

    parts: Annotated[tuple[SentPart, ...], Meta(min_length=1, max_length=10_000)]


EXAMPLE = {"parts": [{"number": 1, "etag": '"9bb58f26192e4ba00f01e2e7b136bbd8"'}]}


@post(
    "/{dataset_id:uuid}/complete",
    status_code=200,
    operation_id="completeUpload",
    summary="Finish a presigned upload",
    responses=documented(400, 404, 409, 413, 415, 422),
    response_description="Stored, and `validating`; `links.ingest_job` reads it.",
)
async def complete_upload(
    dataset_id: UploadId,
    data: Annotated[
        Completion,
        BodyKwarg(
            media_type=RequestEncodingType.JSON, examples=[Example(value=EXAMPLE, summary="An upload of one part")]
        ),
    ],
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
) -> Response[Dataset]:
    """All parts have to be there, with the sizes that were announced. Sent again, it answers the same dataset.

    Its `sha256` is null until ingest has read it, as the bytes have not passed through here.
    """
    row = await get_presigned(database, dataset_id, owner=owner, hold=True)
    kind = None
    if row is not None:
        kind = row.promised.first_job.kind if row.promised.first_job else None
        await _assemble(store, settings, row, data.parts)
        await _commit(database, settings, row, owner=owner)
    elif await get_dataset(database, dataset_id, owner=owner) is None:
        raise NotFound("There is no such upload under way.")
    dataset = dataset_of(await found_dataset(database, dataset_id, owner=owner))
    links = await job_links(database, dataset_id, owner=owner, kind=kind)
    return Response(msgspec.structs.replace(dataset, links={**dataset.links, **links}), headers=validators(dataset))


async def _assemble(store: ObjectStore, settings: Settings, row: PresignedRow, sent: Sequence[SentPart]) -> None:
    """Make the object of its parts, or find it made by a request before.

    Raises InvalidRequest: a part is missing, is another, or has another size.
    """
    bucket, key = settings.s3_datasets_bucket, original_key(str(row.id))
    arrived = await _all_arrived(store, bucket, key, row)
    if arrived is not None:
        _check_parts(row.promised, sent, arrived)
        etags = {part.number: part.etag for part in arrived.values()}
        await store.complete_parts(bucket, key, row.s3_upload_id, etags)
    try:
        made = await store.head(bucket, key)
    except NotFound:
        raise Conflict("The store has lost the upload; begin another one.") from None
    if made.size_bytes != row.promised.size_bytes:
        raise Conflict("What is stored has not the size that was announced; begin another upload.")


async def _all_arrived(store: ObjectStore, bucket: str, key: str, row: PresignedRow) -> dict[int, Arrived] | None:
    arrived: dict[int, Arrived] = {}
    last = 0
    while last < row.promised.parts:
        page = await store.arrived_parts(bucket, key, row.s3_upload_id, after=last)
        if page is None:
            return None
        arrived |= {part.number: part for part in page}
        last += 1000
    return arrived


def _check_parts(promised: Promised, sent: Sequence[SentPart], arrived: dict[int, Arrived]) -> None:
    faults = []
    given = {part.number: place for place, part in enumerate(sent)}
    for place, part in enumerate(sent):
        there = arrived.get(part.number)
        if part.number > promised.parts or given[part.number] != place:
            faults.append(Fault(f"/parts/{place}/number", f"There are {promised.parts} parts, each to be named once."))
        elif there is None:
            faults.append(Fault(f"/parts/{place}", "This part has not arrived."))
        elif there.etag.strip('"') != part.etag.strip('"'):
            faults.append(Fault(f"/parts/{place}/etag", "Another part of this number has arrived."))
        elif there.size_bytes != promised.part_size(part.number):
            faults.append(Fault(f"/parts/{place}", f"This part must have {promised.part_size(part.number)} bytes."))
    missing = [number for number in range(1, promised.parts + 1) if number not in given]
    if missing:
        faults.append(Fault("/parts", f"Parts are missing: {len(missing)}, the first is {missing[0]}."))
    if faults:
        raise InvalidRequest("The parts are not those of the upload.", errors=tuple(faults[:MAX_FAULTS]))


async def _commit(database: Database, settings: Settings, row: PresignedRow, *, owner: str) -> None:
    promised = row.promised
    committed = await commit_upload(
        database,
        row.id,
        owner=owner,
        name=promised.name,
        data_format=promised.data_format,
        original_key=original_key(str(row.id)),
        media_type=promised.media_type,
        size_bytes=promised.size_bytes,
        sha256=None,
        options=promised.options.encode(),
        max_attempts=settings.max_attempts,
        timeout_s=settings.job_timeout_s,
        first_job=promised.first_job,
        labels=promised.labels,
        expires_at=promised.expires_at,
    )
    # Not committed: a request at the same time was first, or gave it up; the caller looks which.
    if committed:
        log.info("upload.stored", dataset_id=str(row.id), bytes=promised.size_bytes)
    metrics.UPLOADED.inc(promised.size_bytes)
