"""A multipart upload whose parts somebody else sends, by presigned URLs, and copies from one bucket to another."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gristmill.errors import BadData, NotFound, StoreUnavailable
from gristmill.objects.connection import Connection
from gristmill.objects.faults import error_code
from gristmill.objects.upload import MAX_PARTS, abort_upload, upload_is_gone
from gristmill.settings import MIB

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

LEAST_PRESIGNED_PART = 16 * MIB
COPIED_PART = 256 * MIB
COPIES_IN_FLIGHT = 4
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Arrived:
    """A part that the store has: its size in bytes, and its ETag with the quotes."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Found:
    """An object's size in bytes and its ETag."""

    size_bytes: int
    etag: str


def presigned_part_bytes(size_bytes: int) -> int:
    """The size of all parts but the last: whole MiB, at least 16, so that there are 10,000 parts at most."""
    return max(LEAST_PRESIGNED_PART, -(-size_bytes // (MAX_PARTS * MIB)) * MIB)


async def begin(connection: Connection, bucket: str, key: str) -> str:
    """Begin a multipart upload; answers its id."""
    answer = await connection.call(
        lambda s3: s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="application/octet-stream")
    )
    return answer["UploadId"]


async def arrived(
    connection: Connection, bucket: str, key: str, upload_id: str, *, after: int, limit: int
) -> list[Arrived] | None:
    """The parts that are there of the numbers after `after`, `limit` (1,000 at most) numbers at most, in order.

    None: there is no such upload (any more).
    """
    try:
        answer = await connection.call(
            lambda s3: s3.list_parts(
                Bucket=bucket, Key=key, UploadId=upload_id, PartNumberMarker=after, MaxParts=min(limit, PAGE)
            )
        )
    except (StoreUnavailable, NotFound) as failure:
        if not upload_is_gone(failure):
            raise
        return None
    parts = [Arrived(part["PartNumber"], part["Size"], part["ETag"]) for part in answer.get("Parts", [])]
    return [part for part in parts if after < part.number <= after + limit]


async def complete(connection: Connection, bucket: str, key: str, upload_id: str, etags: Mapping[int, str]) -> None:
    """Make the object of its parts. An upload that is gone already is fine: whether the object is there is to be asked.

    Raises StoreUnavailable.
    """
    parts: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
    try:
        await connection.call(
            lambda s3: s3.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        )
    except (StoreUnavailable, NotFound) as failure:
        if not upload_is_gone(failure):
            raise


async def copy(
    connection: Connection,
    *,
    source_bucket: str,
    source_key: str,
    etag: str,
    size_bytes: int,
    bucket: str,
    key: str,
    part_bytes: int,
) -> None:
    """Copy an object within the store, part by part, so that each call is short; nothing is left of a copy that fails.

    Raises:
        BadData: it is not there any more, or is another than that of this ETag.
        StoreUnavailable: it could not be copied.
    """
    upload_id = await begin(connection, bucket, key)
    slots = asyncio.Semaphore(COPIES_IN_FLIGHT)
    part_bytes = max(part_bytes, presigned_part_bytes(size_bytes) if size_bytes > MAX_PARTS * part_bytes else 0)

    async def one(number: int) -> str:
        start = (number - 1) * part_bytes
        end = min(start + part_bytes, size_bytes) - 1
        async with slots:
            answer = await connection.call(
                lambda s3: s3.upload_part_copy(
                    Bucket=bucket,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    CopySource={"Bucket": source_bucket, "Key": source_key},
                    CopySourceIfMatch=etag,
                    CopySourceRange=f"bytes={start}-{end}",
                )
            )
        return answer["CopyPartResult"]["ETag"]

    try:
        async with asyncio.TaskGroup() as group:
            numbers = range(1, -(-size_bytes // part_bytes) + 1)
            copies = {number: group.create_task(one(number)) for number in numbers}
        await complete(connection, bucket, key, upload_id, {number: task.result() for number, task in copies.items()})
    except BaseException as error:
        await abort_upload(connection, bucket, key, upload_id)
        failure = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
        if isinstance(failure, NotFound) or _has_changed(failure):
            raise BadData("The object was changed or removed after it was named as the source.") from error
        raise failure from error


def _has_changed(failure: BaseException) -> bool:
    return isinstance(failure.__cause__, ClientError) and error_code(failure.__cause__) == "PreconditionFailed"
