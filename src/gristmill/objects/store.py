"""The object store, for the event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from botocore.exceptions import ClientError

from gristmill.domain.manifest import StoredFile
from gristmill.errors import NotFound, StoreUnavailable, TooLarge
from gristmill.objects import download, parts
from gristmill.objects.connection import Connection
from gristmill.objects.faults import error_code
from gristmill.objects.keys import attachment, checked_key, checked_prefix
from gristmill.objects.room import Room
from gristmill.objects.upload import OnUploadId, Stored, UploadWriter, abort_upload, part_bytes
from gristmill.settings import MIB, Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CreateBucketRequestTypeDef, ObjectIdentifierTypeDef

    from gristmill.objects.small import SmallObjects

MAX_DELETE = 1000  # keys one DeleteObjects takes
MAX_READ_BYTES = 16 * MIB
MAX_PRESIGN_S = 900
PROBE_DEADLINE_S = 3.0
# Documents that are known to be stored.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """An incomplete multipart upload as a listing shows it."""

    key: str
    upload_id: str
    initiated_at: datetime


class ObjectStore:
    """The two buckets. Every call ends within the deadline of the settings. `small` is for the thread that computes.

    What any method may raise: `StoreUnavailable` (no answer in time, no connection, refused, no bucket).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        endpoint = str(settings.s3_endpoint_url).rstrip("/")
        public = settings.public_s3_endpoint
        self._s3 = Connection(settings, endpoint_url=endpoint)
        self._signer = self._s3 if public == endpoint else Connection(settings, endpoint_url=public)
        self._room = Room()
        self._settled: dict[tuple[str, str], None] = {}
        # One thread hashes more in a second than the store takes, and leaves the other core to all else.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash-parts")
        self._part_bytes = part_bytes(settings.max_upload_bytes)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Open the store without speaking to it; the connections are closed at the end."""
        store = cls(settings)
        try:
            yield store
        finally:
            await store._s3.close()
            await store._signer.close()
            store._hashing.shutdown(wait=False)

    async def warm(self) -> None:
        """Build the client now, without speaking to the store: what that leaves behind is large (10 MB)."""
        async with self._s3.borrow():
            pass

    @cached_property
    def small(self) -> "SmallObjects":
        # Imported here, as it takes 10 MB, which the API's bounded memory has no use for.
        from gristmill.objects.small import SmallObjects  # noqa: PLC0415

        return SmallObjects(self._settings)

    @property
    def buckets(self) -> tuple[str, str]:
        return (self._settings.s3_datasets_bucket, self._settings.s3_job_results_bucket)

    @property
    def door(self) -> asyncio.Semaphore:
        """To be held while an upload of a client begins: few do so at the same time."""
        return self._room.door

    def writer(self, bucket: str, key: str, *, media_type: str, on_upload_id: OnUploadId | None = None) -> UploadWriter:
        """Begin an upload of unknown length; nothing is sent yet."""
        return UploadWriter(
            self._s3,
            bucket,
            checked_key(key),
            media_type=media_type,
            part_bytes=self._part_bytes,
            room=self._room,
            hashing=self._hashing,
            on_upload_id=on_upload_id,
        )

    async def put(self, bucket: str, key: str, content: bytes, media_type: str) -> Stored:
        """Store a small object whole."""
        async with self.writer(bucket, key, media_type=media_type) as writer:
            await writer.write(content)
            return await writer.finish()

    async def settle(self, bucket: str, files: Iterable[StoredFile]) -> None:
        """Store those of the files whose content a manifest holds, if they are not there.

        Their keys belong to one attempt, so whoever does it puts the same bytes. Who removes the job notes its prefix
        with the removal, and the sweep after the grace time finds what is put meanwhile.
        """
        await asyncio.gather(
            *(
                self._settle(bucket, file, file.content.encode())
                for file in files
                if file.content is not None and (bucket, file.key) not in self._settled
            )
        )

    async def _settle(self, bucket: str, file: StoredFile, content: bytes) -> None:
        try:
            await self.head(bucket, file.key)
        except NotFound:
            await self.put(bucket, file.key, content, file.media_type)
        self._settled[bucket, file.key] = None
        while len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]

    async def read(self, bucket: str, key: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """A small object's content.

        Raises:
            NotFound: there is no such object.
            TooLarge: it has more than `max_bytes` bytes.
        """
        content = bytearray()
        async with aclosing(self.stream(bucket, key)) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > max_bytes:
                    raise TooLarge(f"The stored object has more than {max_bytes} bytes.")
        return bytes(content)

    def stream(
        self, bucket: str, key: str, *, chunk_size: int = MIB, sha256: str | None = None
    ) -> AsyncGenerator[bytes]:
        """An object's bytes in chunks of `chunk_size` bytes; a cut body goes on where it broke.

        The length is verified always, and the SHA-256 (hex) where given, at the end of the stream.

        Raises:
            NotFound: there is no such object.
        """
        return download.stream(self._s3, bucket, checked_key(key), chunk_bytes=chunk_size, sha256=sha256)

    async def head(self, bucket: str, key: str) -> ListedObject:
        """An object's size and time.

        Raises:
            NotFound: there is no such object.
        """
        checked_key(key)
        answer = await self._s3.call(lambda s3: s3.head_object(Bucket=bucket, Key=key))
        return ListedObject(key, answer["ContentLength"], answer["LastModified"])

    async def look(self, bucket: str, key: str) -> parts.Found:
        """An object of somebody else's, by the key that its owner gave it.

        Raises:
            NotFound: there is no such object, or no such bucket.
        """
        answer = await self._s3.call(lambda s3: s3.head_object(Bucket=bucket, Key=key))
        return parts.Found(answer["ContentLength"], answer["ETag"])

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects, 1,000 a call; a key without an object is fine."""
        for start in range(0, len(keys), MAX_DELETE):
            await self._delete_batch(bucket, keys[start : start + MAX_DELETE])

    async def delete_prefix(self, bucket: str, prefix: str) -> int:
        """Delete every object under a prefix, which ends in "/"; answers how many."""
        checked_prefix(prefix)
        deleted = 0
        batch: list[str] = []
        async for key in self.list_keys(bucket, prefix):
            batch.append(key)
            if len(batch) == MAX_DELETE:
                await self._delete_batch(bucket, batch)
                deleted += len(batch)
                batch = []
        await self.delete(bucket, batch)
        return deleted + len(batch)

    async def list_keys(self, bucket: str, prefix: str = "") -> AsyncGenerator[str]:
        """The keys under a prefix, in order."""
        async for listed in self.list_objects(bucket, prefix):
            yield listed.key

    async def list_objects(self, bucket: str, prefix: str = "") -> AsyncGenerator[ListedObject]:
        """The objects under a prefix, in the order of their keys."""
        more: dict[str, Any] = {}
        while True:
            answer = await self._s3.call(
                lambda s3, more=more: s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)  # type: ignore[misc]
            )
            for item in answer.get("Contents", []):
                yield ListedObject(item["Key"], item["Size"], item["LastModified"])
            if not answer["IsTruncated"]:
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def list_uploads(self, bucket: str, prefix: str = "") -> AsyncGenerator[ListedUpload]:
        """The incomplete multipart uploads under a prefix.

        MinIO lists them for a whole key only: there, abort by the id that `on_upload_id` gave.
        """
        more: dict[str, Any] = {}
        while True:
            answer = await self._s3.call(
                lambda s3, more=more: s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix, **more)  # type: ignore[misc]
            )
            for item in answer.get("Uploads", []):
                yield ListedUpload(item["Key"], item["UploadId"], item["Initiated"])
            if not answer.get("IsTruncated") or not answer.get("Uploads"):
                return
            # SeaweedFS 4.48 gives no NextKeyMarker, and its second page may be empty.
            last = answer["Uploads"][-1]
            more = {"KeyMarker": answer.get("NextKeyMarker") or last["Key"], "UploadIdMarker": last["UploadId"]}

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Drop one incomplete multipart upload; one that is gone already is fine."""
        await abort_upload(self._s3, bucket, checked_key(key), upload_id)

    async def abort_uploads(self, bucket: str, prefix: str) -> int:
        """Drop every incomplete multipart upload under a prefix, which ends in "/"; answers how many."""
        checked_prefix(prefix)
        dropped: set[str] = set()
        # Listed again until nothing new is there: not every server pages this list without gaps.
        while fresh := [one async for one in self.list_uploads(bucket, prefix) if one.upload_id not in dropped]:
            for upload in fresh:
                await abort_upload(self._s3, bucket, upload.key, upload.upload_id)
                dropped.add(upload.upload_id)
        return len(dropped)

    async def begin_parts(self, bucket: str, key: str) -> str:
        """Begin a multipart upload whose parts are sent by presigned URLs; answers its id."""
        return await parts.begin(self._s3, bucket, checked_key(key))

    async def presign_parts(
        self, bucket: str, key: str, upload_id: str, sizes: Mapping[int, int], *, ttl_s: int
    ) -> tuple[dict[int, str], datetime]:
        """A URL for a PUT of each of these parts (number → its bytes, which the URL insists on), and when they end."""
        expires_at = datetime.now(UTC) + timedelta(seconds=ttl_s)
        urls = {}
        for number, size in sizes.items():
            params = {
                "Bucket": bucket,
                "Key": checked_key(key),
                "UploadId": upload_id,
                "PartNumber": number,
                "ContentLength": size,
            }
            urls[number] = await self._signer.call(
                lambda s3, params=params: s3.generate_presigned_url("upload_part", Params=params, ExpiresIn=ttl_s)  # type: ignore[misc]
            )
        return urls, expires_at

    async def arrived_parts(
        self, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = parts.PAGE
    ) -> list[parts.Arrived] | None:
        """See `parts.arrived`."""
        return await parts.arrived(self._s3, bucket, checked_key(key), upload_id, after=after, limit=limit)

    async def complete_parts(self, bucket: str, key: str, upload_id: str, etags: Mapping[int, str]) -> None:
        """See `parts.complete`."""
        await parts.complete(self._s3, bucket, checked_key(key), upload_id, etags)

    async def copy(
        self,
        *,
        source_bucket: str,
        source_key: str,
        etag: str,
        size_bytes: int,
        bucket: str,
        key: str,
        part_bytes: int = parts.COPIED_PART,
    ) -> None:
        """See `parts.copy`. The source's key is as its owner named it."""
        await parts.copy(
            self._s3,
            source_bucket=source_bucket,
            source_key=source_key,
            etag=etag,
            size_bytes=size_bytes,
            bucket=bucket,
            key=checked_key(key),
            part_bytes=part_bytes,
        )

    async def presign_get(self, bucket: str, key: str, *, filename: str, ttl_s: int) -> tuple[str, datetime]:
        """A URL that downloads this one object as a file, and when it ends; `ttl_s` is 1 to 900 seconds.

        It points at the public endpoint. Nothing is asked of the store: whether the object is there is not known.
        """
        if not 1 <= ttl_s <= MAX_PRESIGN_S:
            raise ValueError(f"a download URL lives 1 to {MAX_PRESIGN_S} s")
        expires_at = datetime.now(UTC) + timedelta(seconds=ttl_s)
        params = {
            "Bucket": bucket,
            "Key": checked_key(key),
            "ResponseContentDisposition": attachment(filename),
        }
        url = await self._signer.call(
            lambda s3: s3.generate_presigned_url("get_object", Params=params, ExpiresIn=ttl_s)
        )
        return url, expires_at

    async def ensure_buckets(self) -> list[str]:
        """Create the buckets that are missing; answers their names."""
        missing = [bucket for bucket in self.buckets if not await self._bucket_exists(bucket)]
        for bucket in missing:
            await self._create_bucket(bucket)
        return missing

    async def probe(self) -> None:
        """Whether both buckets answer, within 3 s; raises StoreUnavailable when they don't."""
        deadline_s = min(PROBE_DEADLINE_S, self._s3.deadline_s)
        found = await asyncio.gather(*(self._bucket_exists(bucket, deadline_s) for bucket in self.buckets))
        missing = [bucket for bucket, exists in zip(self.buckets, found, strict=True) if not exists]
        if missing:
            raise StoreUnavailable(f"The object store has no bucket {', '.join(missing)}.")

    async def _delete_batch(self, bucket: str, keys: Sequence[str]) -> None:
        objects: list[ObjectIdentifierTypeDef] = [{"Key": checked_key(key)} for key in keys]
        answer = await self._s3.call(
            lambda s3: s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        )
        failed = [item for item in answer.get("Errors", []) if item.get("Code") != "NoSuchKey"]
        if failed:
            raise StoreUnavailable(f"The object store did not delete {len(failed)} of {len(keys)} objects.")

    async def _bucket_exists(self, bucket: str, deadline_s: float | None = None) -> bool:
        try:
            await self._s3.call(lambda s3: s3.head_bucket(Bucket=bucket), deadline_s=deadline_s)
        except StoreUnavailable as failure:
            if isinstance(failure.__cause__, ClientError) and error_code(failure.__cause__) in {"404", "NoSuchBucket"}:
                return False
            raise
        return True

    async def _create_bucket(self, bucket: str) -> None:
        request: dict[str, Any] = {"Bucket": bucket}
        if self._settings.s3_region != "us-east-1":  # S3 refuses its own default as a constraint
            request["CreateBucketConfiguration"] = {"LocationConstraint": self._settings.s3_region}
        try:
            await self._s3.call(lambda s3: s3.create_bucket(**cast("CreateBucketRequestTypeDef", request)))
        except StoreUnavailable as failure:
            # Another process may have been first.
            if not await self._bucket_exists(bucket):
                raise StoreUnavailable(f"The bucket {bucket} is missing and could not be created.") from failure
