"""An upload: the body goes to the bucket while it arrives, and what does not finish leaves nothing.

A row says that the upload begins before its first byte is stored. One statement makes it a dataset. Whatever ends it
before that (a wrong digest, a vanished client, a dead store) removes the object first and the row then; what can't be
removed now is found by the sweep through the row.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from gristmill import metrics
from gristmill.api.form import Form
from gristmill.api.formats import Described, describe, promised_digest
from gristmill.api.idempotency import payload_digest
from gristmill.db.datasets import FirstJob, begin_upload, commit_upload, drop_upload, get_dataset, touch_upload
from gristmill.db.engine import Database
from gristmill.db.idempotency import RequestKey
from gristmill.domain.manifest import original_key
from gristmill.errors import (
    BadData,
    DatabaseUnavailable,
    DigestMismatch,
    GristmillError,
    MalformedRequest,
    StoreUnavailable,
    TooLarge,
    Unavailable,
    UploadAborted,
    UploadStalled,
)
from gristmill.objects import ObjectStore, UploadWriter
from gristmill.objects.connection import uninterrupted
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

if TYPE_CHECKING:
    from litestar.types import Receive
    from litestar.types.asgi_types import ReceiveMessage

log = get_logger(__name__)

FORM_TYPE = "multipart/form-data"
FORM_OVERHEAD = 1024 * 1024
ASK_AGAIN_S = (0.2, 1.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A request to upload: what its headers and its query say. `size_bytes` None: not announced."""

    media_type: str
    boundary: str | None
    size_bytes: int | None
    name: str | None
    told_format: str | None
    options: bytes | None
    repr_digest: str | None
    content_digest: str | None

    @property
    def is_form(self) -> bool:
        return self.media_type == FORM_TYPE


class Uploads:
    """Takes uploads into the bucket of datasets."""

    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self._settings = settings
        self._database = database
        self._store = store

    async def take(
        self,
        incoming: Incoming,
        receive: "Receive",
        *,
        owner: str,
        first_job: FirstJob | None = None,
        key: RequestKey | None = None,
    ) -> UUID:
        """Store the body and make it a dataset, with a first job on it if one is given; answers the dataset's id.

        Raises:
            UnsupportedFormat, InvalidRequest, MalformedRequest, BadData, TooLarge, DigestMismatch: it does not fit.
            UploadAborted, UploadStalled: it did not come to its end.
            DatabaseUnavailable, StoreUnavailable: it could not be stored.
            KeyInUse: another request with the key is under way.
        """
        promised = self._checked_early(incoming)
        async with self._store.door:
            upload_id = await begin_upload(self._database, owner=owner, key=key)
        place = original_key(str(upload_id))
        bucket = self._settings.s3_datasets_bucket
        # The type a browser would be told is never the sender's choice.
        writer = self._store.writer(bucket, place, media_type="application/octet-stream")
        try:
            async with self._kept_alive(upload_id):
                described = await self._received(incoming, receive, promised, writer)
                await writer.finish()
        except BaseException as error:
            await uninterrupted(self._drop(upload_id, writer, error))
            raise
        if key is not None:
            key = replace(key, payload_sha256=_identity(described, writer, first_job))
        await uninterrupted(self._commit(upload_id, owner, described, writer, first_job, key))
        log.info("upload.stored", dataset_id=str(upload_id), bytes=writer.size_bytes)
        metrics.UPLOADED.inc(writer.size_bytes)
        return upload_id

    async def identify(self, incoming: Incoming, receive: "Receive", *, first_job: FirstJob | None) -> str:
        """Read a body to its end and keep nothing of it; answers what makes two uploads the same.

        Raises as `take` does for what does not fit or does not come to its end.
        """
        promised = self._checked_early(incoming)
        measure = Measure()
        described = await self._received(incoming, receive, promised, measure)
        return _identity(described, measure, first_job)

    async def _received(self, incoming: Incoming, receive: "Receive", promised: Set[str], sink: "Sink") -> Described:
        body = Body(
            receive,
            patience=Patience(self._settings.upload_idle_s, self._settings.upload_min_rate),
            max_bytes=self._settings.max_upload_bytes + FORM_OVERHEAD,
            hashed=incoming.is_form and bool(promised),
        )
        described = await self._stream(incoming, body, sink)
        await sink.seal()
        _check_content(sink.size_bytes, {sink.sha256, body.sha256}, promised)
        return described

    def _checked_early(self, incoming: Incoming) -> frozenset[str]:
        """Refuse what can be refused before a byte is read; answers the promised digests."""
        limit = self._settings.max_upload_bytes + (FORM_OVERHEAD if incoming.is_form else 0)
        if incoming.size_bytes is not None and incoming.size_bytes > limit:
            raise self._too_large()
        if incoming.is_form:
            if not incoming.boundary:
                raise MalformedRequest("The Content-Type multipart/form-data lacks its boundary.")
        else:
            self._describe_raw(incoming)
        return promised_digest(incoming.repr_digest, incoming.content_digest)

    def _describe_raw(self, incoming: Incoming) -> Described:
        return describe(
            name=incoming.name,
            filename=None,
            told=incoming.told_format,
            media_type=incoming.media_type,
            options=incoming.options,
        )

    async def _stream(self, incoming: Incoming, body: "Body", sink: "Sink") -> Described:
        async def on_file(content: bytes) -> None:
            if sink.size_bytes + len(content) > self._settings.max_upload_bytes:
                raise self._too_large()
            await sink.write(content)

        if not incoming.is_form:
            async for chunk in body.chunks():
                await on_file(chunk)
            return self._describe_raw(incoming)
        form = Form(on_file)
        await form.read(body.chunks(), boundary=incoming.boundary or "")
        return describe(
            name=form.text("name") if "name" in form.fields else incoming.name,
            filename=form.filename,
            told=form.text("format") or incoming.told_format,
            media_type=form.media_type,
            options=form.fields.get("options") or incoming.options,
        )

    def _too_large(self) -> TooLarge:
        return TooLarge(f"An upload may have {self._settings.max_upload_bytes} bytes at most.")

    @asynccontextmanager
    async def _kept_alive(self, upload_id: UUID) -> AsyncIterator[None]:
        """Say now and then that the upload lives, or the sweep takes it."""
        task = asyncio.create_task(self._touch(upload_id), name=f"touch-{upload_id}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _touch(self, upload_id: UUID) -> None:
        alive = True
        while alive:
            await asyncio.sleep(self._settings.upload_idle_s / 2)
            with suppress(DatabaseUnavailable):  # the commit finds out
                alive = await touch_upload(self._database, upload_id)

    async def _commit(
        self,
        upload_id: UUID,
        owner: str,
        described: Described,
        writer: UploadWriter,
        first_job: FirstJob | None,
        key: RequestKey | None,
    ) -> None:
        try:
            committed = await commit_upload(
                self._database,
                upload_id,
                owner=owner,
                name=described.name,
                data_format=described.data_format,
                original_key=original_key(str(upload_id)),
                media_type=described.media_type,
                size_bytes=writer.size_bytes,
                sha256=writer.sha256,
                options=described.options,
                max_attempts=self._settings.max_attempts,
                timeout_s=self._settings.job_timeout_s,
                first_job=first_job,
                key=key,
            )
        except DatabaseUnavailable:
            # It may have been committed before the connection died: the object stays until that is known.
            if not await self._was_committed(upload_id, owner):
                raise
            return
        except BaseException as error:
            await self._drop(upload_id, writer, error)
            raise
        if not committed:
            gone = StoreUnavailable("The upload took too long and was given up.")
            await self._drop(upload_id, writer, gone)
            raise gone

    async def _was_committed(self, upload_id: UUID, owner: str) -> bool:
        for pause_s in ASK_AGAIN_S:
            await asyncio.sleep(pause_s)
            with suppress(DatabaseUnavailable):
                return await get_dataset(self._database, upload_id, owner=owner) is not None
        return False

    async def _drop(self, upload_id: UUID, writer: UploadWriter, reason: BaseException) -> None:
        """Remove the object, then the row that knows of it. What fails here is left to the sweep."""
        why = reason.code if isinstance(reason, GristmillError) else type(reason).__name__
        try:
            await writer.abort()
            await drop_upload(self._database, upload_id)
        except Unavailable as error:
            why = f"{why}, {error.code}"
        log.info("upload.dropped", dataset_id=str(upload_id), reason=why)


def _identity(described: Described, content: "Sink", first_job: FirstJob | None) -> str:
    """What makes two uploads the same: the bytes of the data, and all that was said of them."""
    told = (described.name, described.data_format, described.media_type, described.options.decode())
    job = None if first_job is None else first_job.kind
    return payload_digest("/datasets", [*told, job, content.size_bytes, content.sha256])


class Sink(Protocol):
    """Where the data goes while it arrives."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    async def write(self, content: bytes, /) -> None: ...

    async def seal(self) -> None:
        """Nothing more comes: the SHA-256 is known after it."""


class Measure:
    """A sink that keeps the size and the SHA-256 of the data alone."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def write(self, content: bytes, /) -> None:
        self.size_bytes += len(content)
        self._digest.update(content)

    async def seal(self) -> None:
        """Nothing is left to do."""


def _check_content(size_bytes: int, found: Set[str | None], promised: Set[str]) -> None:
    if size_bytes == 0:
        raise BadData("empty file")
    if not promised <= found:
        raise DigestMismatch("The SHA-256 of what came is another one.")


class Patience:
    """How long we wait for a client: `idle_s` for the next bytes, and no longer in all than `min_rate` bytes a second
    allow. Only waiting counts: that the store is slow is not the client's fault.
    """

    def __init__(self, idle_s: float, min_rate: float) -> None:
        self._idle_s = idle_s
        self._min_rate = min_rate
        self._waited_s = 0.0
        self._came = 0

    async def wait_for(self, receive: "Receive") -> "ReceiveMessage":
        """The next message.

        Raises UploadStalled: nothing came for `idle_s`, or too little in the waiting of `idle_s`.
        """
        began = monotonic()
        try:
            async with asyncio.timeout(self._idle_s):
                message = await receive()
        except TimeoutError:
            raise UploadStalled(f"Nothing came for {self._idle_s:g} s.") from None
        self._waited_s += monotonic() - began
        self._came += len(message["body"]) if message["type"] == "http.request" else 0
        if self._waited_s >= self._idle_s:
            if self._came < self._min_rate * self._waited_s:
                raise UploadStalled(f"Less than {self._min_rate:g} bytes a second came for {self._idle_s:g} s.")
            self._waited_s, self._came = 0.0, 0
        return message


class Body:
    """A request's body in chunks, for each of which we wait with patience."""

    def __init__(self, receive: "Receive", *, patience: Patience, max_bytes: int, hashed: bool) -> None:
        self._receive = receive
        self._left = max_bytes
        self._patience = patience
        self._digest = hashlib.sha256() if hashed else None

    @property
    def sha256(self) -> str | None:
        """SHA-256, in hex, of the whole body where it was asked for."""
        return None if self._digest is None else self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come.

        Raises:
            UploadAborted: the client is gone.
            UploadStalled: nothing came for the idle limit, or too little.
            TooLarge: what is around the file is larger than a form needs.
        """
        more = True
        while more:
            message = await self._patience.wait_for(self._receive)
            if message["type"] != "http.request":
                raise UploadAborted("The connection was closed before the upload was complete.")
            more = message["more_body"]
            self._left -= len(message["body"])
            if self._left < 0:
                raise TooLarge("The body is larger than any upload may be.")
            if message["body"]:
                if self._digest is not None:
                    self._digest.update(message["body"])
                yield message["body"]
