"""Uploads by presigned URLs: the client sends the parts to the store itself, in any order, and resumes as it likes."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import UNSET, UnsetType

from gristmill.api.answers import Response
from gristmill.api.descriptions import PresignedUpload
from gristmill.api.document import Moment, UploadId
from gristmill.api.expiry import checked_expiry
from gristmill.api.formats import describe
from gristmill.api.problems import documented
from gristmill.db.datasets import FirstJob, drop_upload
from gristmill.db.engine import Database
from gristmill.db.idempotency import RequestKey
from gristmill.db.presigned import (
    PresignedRow,
    Promised,
    begin_presigned,
    dropping_presigned,
    get_presigned,
    note_presigned,
)
from gristmill.domain.manifest import original_key
from gristmill.errors import NotFound, TooLarge
from gristmill.objects import ObjectStore, presigned_part_bytes
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

log = get_logger(__name__)

DEFAULT_PARTS = 100
MAX_PARTS = 1000


class UploadPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part to `PUT` to its URL, of exactly so many bytes. `etag` is there once the part has arrived."""

    number: int
    size_bytes: int
    url: str
    etag: str | None


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload under way; at `expires_at` it is given up. `id` is the one that its dataset will have.

    `parts` are some of its `parts_total` parts; `next` says after which to ask for more, and is absent with the last.
    The URLs need no key and live until `urls_expire_at`; `GET` the upload again for fresh ones.
    """

    id: UUID
    name: str
    format: str
    size_bytes: int
    part_bytes: int
    parts_total: int
    parts: tuple[UploadPart, ...]
    urls_expire_at: Moment
    expires_at: Moment
    links: dict[str, str]
    next: int | UnsetType = UNSET


@get(
    "/{dataset_id:uuid}/upload",
    operation_id="getUpload",
    summary="Look at a presigned upload",
    responses=documented(404, 422),
    response_description="The upload, with fresh URLs and what has arrived.",
)
async def look_at_upload(
    *,
    dataset_id: UploadId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
    after: Annotated[
        int,
        QueryParameter(
            ge=0, le=10_000, description="Parts after this number only.", schema_extra={"minimum": 0}
        ),  # the framework does not tell of a limit that is 0
    ] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PARTS, description="So many parts at most.")] = DEFAULT_PARTS,
) -> Upload:
    """To resume, send the parts that have no `etag`; a part that is sent again replaces the one before."""
    row = await get_presigned(database, dataset_id, owner=owner)
    if row is None:
        raise NotFound("There is no such upload under way.")
    return await shown_upload(store, settings, row, after=after, limit=limit)


@delete(
    "/{dataset_id:uuid}/upload",
    operation_id="abortUpload",
    summary="Give a presigned upload up",
    responses=documented(404),
    response_description="It is gone, with the parts that had arrived.",
)
async def abort_upload(
    dataset_id: UploadId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
) -> None:
    deadline_s = settings.s3_deadline_s + settings.postgres_deadline_s
    async with dropping_presigned(database, dataset_id, owner=owner, deadline_s=deadline_s) as row:
        if row is None:
            raise NotFound("There is no such upload under way.")
        bucket, key = settings.s3_datasets_bucket, original_key(str(dataset_id))
        await store.abort_upload(bucket, key, row.s3_upload_id)
        await store.delete(bucket, [key])


async def begin_upload(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    description: PresignedUpload,
    *,
    owner: str,
    first_job: FirstJob | None,
    key: RequestKey | None,
) -> Upload:
    """Begin an upload; answers it with the URLs of its first parts.

    Raises:
        TooLarge, InvalidRequest, UnsupportedFormat: it does not fit.
        KeyInUse: another request with the key is under way.
    """
    promised = _promised(settings, description, first_job)
    life_s = settings.presigned_upload_s
    upload_id = await begin_presigned(database, promised, owner=owner, life_s=life_s, key=key)
    bucket, place = settings.s3_datasets_bucket, original_key(str(upload_id))
    try:
        s3_upload_id = await store.begin_parts(bucket, place)
    except BaseException:
        await drop_upload(database, upload_id)
        raise
    row = await note_presigned(database, upload_id, s3_upload_id, key=key, location=location_of(upload_id))
    log.info("upload.begun", dataset_id=str(upload_id), bytes=promised.size_bytes)
    return await shown_upload(store, settings, row)


async def shown_upload(
    store: ObjectStore, settings: Settings, row: PresignedRow, *, after: int = 0, limit: int = DEFAULT_PARTS
) -> Upload:
    """The upload with fresh URLs for a page of its parts. Raises NotFound: the store does not know it any more."""
    promised = row.promised
    bucket, key = settings.s3_datasets_bucket, original_key(str(row.id))
    last = min(after + limit, promised.parts)
    sizes = {number: promised.part_size(number) for number in range(after + 1, last + 1)}
    there = await store.arrived_parts(bucket, key, row.s3_upload_id, after=after, limit=limit)
    if there is None:
        raise NotFound("There is no such upload under way.")
    etags = {part.number: part.etag for part in there}
    urls, urls_expire_at = await store.presign_parts(bucket, key, row.s3_upload_id, sizes, ttl_s=settings.presign_ttl_s)
    parts = [
        UploadPart(number=number, size_bytes=size, url=urls[number], etag=etags.get(number))
        for number, size in sizes.items()
    ]
    return Upload(
        id=row.id,
        name=promised.name,
        format=promised.data_format,
        size_bytes=promised.size_bytes,
        part_bytes=promised.part_bytes,
        parts_total=promised.parts,
        parts=tuple(parts),
        urls_expire_at=urls_expire_at,
        expires_at=row.expires_at,
        links={"self": location_of(row.id), "complete": f"/datasets/{row.id}/complete"},
        next=last if last < promised.parts else UNSET,
    )


def begun(upload: Upload) -> Response[Upload]:
    """The answer to who began it."""
    return Response(upload, status_code=201, headers={"Location": location_of(upload.id)})


def location_of(upload_id: UUID) -> str:
    return f"/datasets/{upload_id}/upload"


def _promised(settings: Settings, description: PresignedUpload, first_job: FirstJob | None) -> Promised:
    if description.size_bytes > settings.max_upload_bytes:
        raise TooLarge(f"An upload may have {settings.max_upload_bytes} bytes at most.")
    described = describe(
        name=description.name,
        filename=None,
        told=description.format,
        media_type="",
        options=bytes(description.options),
    )
    return Promised(
        name=described.name,
        data_format=described.data_format,
        media_type=described.media_type,
        options=described.options.decode(),
        labels=description.labels,
        expires_at=checked_expiry(description.expires_at),
        size_bytes=description.size_bytes,
        part_bytes=presigned_part_bytes(description.size_bytes),
        first_job=first_job,
    )
