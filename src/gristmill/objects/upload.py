"""A streamed upload of unknown length: flat memory, SHA-256 on the way, nothing left when it does not finish."""

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from botocore.exceptions import ClientError

from gristmill.errors import GristmillError, StoreUnavailable, TooLarge
from gristmill.objects.connection import Connection, uninterrupted
from gristmill.objects.faults import error_code
from gristmill.objects.room import FREE_BYTES, Place, Room
from gristmill.objects.signing import known_content
from gristmill.settings import MIB

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

# The least S3 takes for all parts but the last.
MIN_PART_BYTES = 5 * MIB
MAX_PARTS = 10_000
# The store works on one part with one core for most of the time. Many uploads have fewer each: `Room` decides.
PARTS_IN_FLIGHT = 2
# Less than this is hashed where it is: to have a thread do it takes longer.
SMALL_BYTES = 64 * 1024

OnUploadId = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was stored: size in bytes, SHA-256 of its content in hex, the store's ETag."""

    key: str
    size_bytes: int
    sha256: str
    etag: str


class UploadWriter:
    """Writes one object. Use as a context: leaving it without `finish` aborts.

    Memory is `PARTS_IN_FLIGHT + 1` parts at most, and less where others need the `room` too. An object smaller than a
    part takes a single PUT.
    `on_upload_id` is awaited with the id of a multipart upload before any byte of it is sent.
    `hashing` has one thread, so that parts are hashed in their order; the event loop is free meanwhile.
    """

    def __init__(
        self,
        connection: Connection,
        bucket: str,
        key: str,
        *,
        media_type: str,
        part_bytes: int,
        room: Room,
        hashing: Executor,
        on_upload_id: OnUploadId | None = None,
    ) -> None:
        self._s3 = connection
        self._bucket = bucket
        self._key = key
        self._media_type = media_type
        self._part_bytes = part_bytes
        self._room = room
        self._place: Place | None = None
        self._on_upload_id = on_upload_id
        self._hashing = hashing
        self._digest = hashlib.sha256()
        self._size = 0
        # Handed to the client as it is: aiohttp copies the content of a BytesIO made from bytes.
        self._buffer = io.BytesIO()
        # The SHA-256 of what is in the buffer, once it is full or nothing more comes.
        self._of_buffer: asyncio.Future[str] | None = None
        self._creating: asyncio.Task[str] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._etags: dict[int, str] = {}
        self._parts = 0
        self._may_exist = False
        self._closed = False
        self._stored: Stored | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """SHA-256, in hex, of all that was written; known after `seal` or `finish`."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored is not None:
            return
        try:
            await self.abort()
        except GristmillError as failure:
            if error is None:
                raise
            error.add_note(f"What was uploaded could not be removed: {failure.detail}")

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take bytes; waits while enough parts are on their way, of this upload or of all together.

        Raises:
            StoreUnavailable: a part could not be stored.
            TooLarge: more than 10,000 parts.
        """
        self._check_open()
        if self._of_buffer is not None:
            raise ValueError("the upload is sealed")
        view = memoryview(chunk).cast("B")
        self._size += len(view)
        while len(view) > 0:
            if self._place is None and self._buffer.tell() + len(view) > FREE_BYTES:
                self._place = await self._room.enter()
            if self._place is not None:
                self._place.used()
            room = self._part_bytes - self._buffer.tell()
            self._buffer.write(view[:room])
            view = view[room:]
            if self._buffer.tell() == self._part_bytes:
                try:
                    await self._send_buffer()
                except BaseException:
                    self._closed = True  # a part is missing: no more may be added, and the end must not be reached
                    raise

    async def seal(self) -> None:
        """Nothing more is written: the SHA-256 of the whole is known after it. Nothing is stored."""
        self._check_open()
        await self._hashed()

    async def finish(self) -> Stored:
        """Store what is left and make the object appear, whole.

        Raises:
            StoreUnavailable: it could not be stored; leaving the context removes what was sent.
        """
        await self.seal()
        self._closed = True
        if self._creating is None:
            etag = await self._put_whole()
            self._leave()
        else:
            if self._buffer.tell():
                await self._send_buffer()
            await self._until_running(0)
            etag = await self._complete(await self._creating)
        self._stored = Stored(self._key, self._size, self.sha256, etag)
        return self._stored

    async def abort(self) -> None:
        """Remove everything this upload stored, the finished object included. May be called again.

        It runs to its end even when the caller is cancelled. A PUT that a frozen server still holds can appear
        after it; the sweep by prefix finds that.

        Raises:
            StoreUnavailable: something may be left.
        """
        self._closed = True
        self._leave()
        self._buffer = io.BytesIO()
        await uninterrupted(self._remove())

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the upload is closed")

    async def _send_buffer(self) -> None:
        if self._parts == MAX_PARTS:
            raise TooLarge(f"An object may have at most {MAX_PARTS} parts of {self._part_bytes} bytes.")
        sha256 = self._hashed()
        if self._place is not None:
            await self._place.hold()  # before the store is waited for: it is not the client who is slow now
        if self._creating is None:
            self._creating = asyncio.create_task(self._create(), name="create-upload")
            # Shielded: cancelled here, the server would keep an upload whose id nobody knows.
            upload_id = await asyncio.shield(self._creating)
            if self._on_upload_id is not None:
                await self._on_upload_id(upload_id)
        upload_id = await self._creating
        await self._until_running(PARTS_IN_FLIGHT - 1)
        place, self._place = self._place, None
        content, self._buffer, self._of_buffer = self._buffer, io.BytesIO(), None
        content.seek(0)
        self._parts += 1
        part = self._send_part(upload_id, self._parts, content, sha256)
        task = asyncio.create_task(part, name=f"upload-part-{self._parts}")
        if place is not None:
            task.add_done_callback(lambda _: place.leave())
        self._running.add(task)

    def _hashed(self) -> asyncio.Future[str]:
        """The SHA-256 of what is in the buffer, worked out once; that of the whole goes on with it."""
        if self._of_buffer is None:
            loop = asyncio.get_running_loop()
            if self._parts == 0 and self._buffer.tell() < SMALL_BYTES:
                self._of_buffer = loop.create_future()
                self._of_buffer.set_result(_update(self._digest, self._buffer))
            else:
                self._of_buffer = loop.run_in_executor(self._hashing, _update, self._digest, self._buffer)
        return self._of_buffer

    def _leave(self) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None

    async def _until_running(self, limit: int) -> None:
        while len(self._running) > limit:
            done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            failures = [failure for task in done if (failure := task.exception()) is not None]
            if failures:
                raise failures[0]

    async def _create(self) -> str:
        answer = await self._s3.call(
            lambda s3: s3.create_multipart_upload(Bucket=self._bucket, Key=self._key, ContentType=self._media_type)
        )
        return answer["UploadId"]

    async def _send_part(self, upload_id: str, number: int, content: io.BytesIO, sha256: "asyncio.Future[str]") -> None:
        with known_content(await sha256):
            answer = await self._s3.call(
                lambda s3: s3.upload_part(
                    Bucket=self._bucket, Key=self._key, UploadId=upload_id, PartNumber=number, Body=content
                )
            )
        self._etags[number] = answer["ETag"]

    async def _put_whole(self) -> str:
        self._may_exist = True
        content = self._buffer
        sha256 = await self._hashed()
        content.seek(0)
        with known_content(sha256):
            answer = await self._s3.call(
                lambda s3: s3.put_object(Bucket=self._bucket, Key=self._key, ContentType=self._media_type, Body=content)
            )
        return answer["ETag"]

    async def _complete(self, upload_id: str) -> str:
        self._may_exist = True
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": self._etags[number]} for number in sorted(self._etags)
        ]
        try:
            answer = await self._s3.call(
                lambda s3: s3.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
            )
        except StoreUnavailable as failure:
            if not upload_is_gone(failure):
                raise
            return await self._completed_before(failure)
        return answer["ETag"]

    async def _completed_before(self, failure: StoreUnavailable) -> str:
        # The client tries again when an answer is lost; the first attempt had then completed the upload.
        head = await self._s3.call(lambda s3: s3.head_object(Bucket=self._bucket, Key=self._key))
        if head["ContentLength"] != self._size:
            raise failure
        return head["ETag"]

    async def _remove(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        if self._creating is not None:
            await asyncio.wait({self._creating})
            if not self._creating.cancelled() and self._creating.exception() is None:
                await abort_upload(self._s3, self._bucket, self._key, self._creating.result())
        if self._may_exist:
            await self._s3.call(lambda s3: s3.delete_object(Bucket=self._bucket, Key=self._key))


def _update(whole: "hashlib._Hash", part: io.BytesIO) -> str:
    """Hash a part, for the whole and for itself. For a thread: nothing holds it up, it holds up nothing."""
    with part.getbuffer() as content:
        whole.update(content)
        return hashlib.sha256(content).hexdigest()


async def abort_upload(connection: Connection, bucket: str, key: str, upload_id: str) -> None:
    """Drop one incomplete multipart upload; one that is gone already is fine."""
    try:
        await connection.call(lambda s3: s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id))
    except StoreUnavailable as failure:
        if not upload_is_gone(failure):
            raise


def upload_is_gone(failure: GristmillError) -> bool:
    """Whether the store said that there is no such multipart upload."""
    return isinstance(failure.__cause__, ClientError) and error_code(failure.__cause__) == "NoSuchUpload"


def part_bytes(max_object_bytes: int) -> int:
    """The size of a part with which `MAX_PARTS` parts hold the largest object: whole MiB, at least 8."""
    return max(MIN_PART_BYTES, -(-max_object_bytes // (MAX_PARTS * MIB)) * MIB)
