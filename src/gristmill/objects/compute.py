"""The object store for the thread that computes: blocking, over an event loop that runs in another thread."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import Future, wait
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

import polars as pl

from gristmill.domain.manifest import JSON, StoredFile
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.objects.connection import without_proxy
from gristmill.objects.keys import checked_prefix
from gristmill.objects.store import ObjectStore
from gristmill.objects.upload import OnUploadId, Stored, UploadWriter
from gristmill.settings import MIB, Settings
from gristmill.steps import step
from gristmill.writing import with_counted, write_table

T = TypeVar("T")

HANDOVER_BYTES = MIB
# A document up to this size is held by the manifest: lists of jobs read it, and a larger one would slow them down.
HELD_BYTES = 8 * 1024
PREFETCHED_CHUNKS = 4
SCAN_RETRIES = 3


class ObjectOutput:
    """The files of one attempt under its own prefix; an `Output` of the domain.

    `store` belongs to `loop`, which runs in another thread. With `hold`, small documents of text are not stored: the
    manifest holds them. The last bytes of a table are stored while the next file is made; leaving the context waits for
    them whatever happened.
    """

    def __init__(
        self,
        store: ObjectStore,
        loop: asyncio.AbstractEventLoop,
        bucket: str,
        prefix: str,
        *,
        on_upload_id: OnUploadId | None = None,
        hold: bool = False,
    ) -> None:
        self._store = store
        self._loop = loop
        self._bucket = bucket
        self._prefix = checked_prefix(prefix)
        self._hold = hold
        self._on_upload_id = on_upload_id
        self._files: list[StoredFile] = []
        self._ending: _Ending | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._settle()
        elif self._ending is not None:
            ending, self._ending = self._ending, None
            wait([ending.stored])  # whatever came of it: the attempt has failed already
            ending.sink.abort(error)

    def finish(self) -> tuple[StoredFile, ...]:
        """The files, whole, in the order they were written.

        Raises StoreUnavailable: the last could not be stored.
        """
        self._settle()
        return tuple(self._files)

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        """Stream a frame into the file `name`; answers its rows. The same frame gives the same bytes.

        With `copy`, the bytes are also written to that file of this machine.

        Raises:
            StoreUnavailable: it, or the table before, could not be stored.
            Whatever the query raises; the upload is aborted then.
        """
        counted, counts = with_counted(frame)
        sink = _Sink(self._loop, self._writer(name, form.media_type), copy)
        try:
            with step("write"):
                # Polars calls write, flush and close only.
                write_table(counted, cast("IO[bytes]", sink), form, extent)
                self._settle()
                whole = sink.small()
                stored = sink.finish() if whole is None else _done(self._put(name, whole, form.media_type))
        except BaseException as error:
            failure = sink.failure  # as it is now: a thread of Polars may still write to what is aborted
            sink.abort(error)
            if failure is not None and failure is not error:
                raise failure from error  # Polars tells it as a ComputeError of its own
            raise
        self._ending = _Ending(sink, stored, name, form.media_type, counts.rows, counts.text_bytes)
        return counts.rows

    def _settle(self) -> None:
        """Wait until the last bytes of the table written last are stored."""
        ending, self._ending = self._ending, None
        if ending is None:
            return
        try:
            with step("write"):
                stored = ending.stored.result()
        except BaseException as error:
            ending.sink.abort(error)
            raise
        self._files.append(_stored_file(ending.name, ending.media_type, stored, ending.rows, ending.text_bytes))

    def document(self, name: str, content: bytes, media_type: str) -> None:
        """Write the small file `name`."""
        self._settle()
        if self._hold and media_type == JSON and len(content) <= HELD_BYTES:
            self._files.append(held_file(self._prefix + name, name, content))
            return
        with step("write"):
            stored = self._put(name, content, media_type)
        self._files.append(_stored_file(name, media_type, stored, None))

    def _put(self, name: str, content: bytes, media_type: str) -> Stored:
        return self._store.small.put(self._bucket, self._prefix + name, content, media_type)

    def _writer(self, name: str, media_type: str) -> UploadWriter:
        return self._store.writer(
            self._bucket, self._prefix + name, media_type=media_type, on_upload_id=self._on_upload_id
        )


class ObjectSource(io.RawIOBase):
    """An object as a blocking, forward-only binary file; a few MiB are fetched ahead.

    `store` belongs to `loop`, which runs in another thread. `bytes_read` counts what was handed out.
    """

    def __init__(
        self,
        store: ObjectStore,
        loop: asyncio.AbstractEventLoop,
        bucket: str,
        key: str,
        *,
        sha256: str | None = None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._chunk = memoryview(b"")
        self._ended = False
        self.bytes_read = 0
        chunks = store.stream(bucket, key, chunk_size=MIB, sha256=sha256)
        self._ahead = _wait(loop, _Prefetch.start(chunks))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what is there; 0 at the end.

        Raises:
            NotFound, StoreUnavailable: as `ObjectStore.stream`.
        """
        if self.closed:
            raise ValueError("the source is closed")
        if not self._chunk and not self._ended:
            self._chunk = memoryview(_wait(self._loop, self._ahead.next()))
            self._ended = not self._chunk
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._chunk))
        target[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        self.bytes_read += size
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            _wait(self._loop, self._ahead.stop())


def scan(settings: Settings, bucket: str, file: StoredFile) -> pl.LazyFrame:
    """A Parquet file as a LazyFrame, read by Polars' own S3 reader with its columns and rows pushed down.

    What fails at collect is an error of Polars or the system: `classify` tells it in ours.
    """
    options: dict[str, Any] = {
        "aws_endpoint_url": str(settings.s3_endpoint_url).rstrip("/"),
        "aws_access_key_id": settings.s3_access_key_id,
        "aws_secret_access_key": settings.s3_secret_access_key.get_secret_value(),
        "aws_region": settings.s3_region,
        "aws_allow_http": str(settings.s3_endpoint_url.scheme == "http").lower(),
        "aws_virtual_hosted_style_request": "false",
        "timeout": f"{settings.s3_deadline_s}s",
        "connect_timeout": f"{min(5.0, settings.s3_deadline_s)}s",
        "max_retries": SCAN_RETRIES,
        "retry_timeout_ms": int(settings.s3_deadline_s * 1000),
        **without_proxy(str(settings.s3_endpoint_url)),
    }
    return pl.scan_parquet(f"s3://{bucket}/{file.key}", storage_options=options, credential_provider=None, glob=False)


def load(store: ObjectStore, bucket: str, files: Sequence[StoredFile]) -> list[pl.DataFrame]:
    """Files in memory, in order: each is fetched once, with its digest checked, however often it is looked at.

    Raises:
        NotFound, StoreUnavailable: as `SmallObjects.get`.
    """
    contents = [store.small.get(bucket, file.key, sha256=file.sha256) for file in files]
    return [pl.read_parquet(io.BytesIO(content)) for content in contents]


@dataclass(frozen=True, slots=True)
class _Ending:
    """A table that is written, whose last bytes are on their way, and what its file will be."""

    sink: "_Sink"
    stored: "Future[Stored]"
    name: str
    media_type: str
    rows: int
    text_bytes: int


class _Sink:
    """What Polars writes a file to: gathers bytes and hands them to the upload on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: UploadWriter, copy: Path | None) -> None:
        self._loop = loop
        self._writer = writer
        self._copy = copy.open("wb") if copy is not None else None
        self._gathered = bytearray()
        self._handed_over = False
        self.failure: BaseException | None = None

    def write(self, content: bytes) -> int:
        self._gathered += content
        if self._copy is not None:
            self._copy.write(content)
        if len(self._gathered) >= HANDOVER_BYTES:
            self._hand_over()
        return len(content)

    def flush(self) -> None:
        """Nothing to do: bytes leave when there are enough of them, and at the end."""

    def close(self) -> None:
        """Nothing to do: `finish` or `abort` ends the upload."""

    def small(self) -> bytes | None:
        """Nothing more comes. The whole file, if nothing of it was handed to the upload yet."""
        self._close_copy()
        return None if self._handed_over else bytes(self._gathered)

    def finish(self) -> "Future[Stored]":
        """What is left is stored while others go on."""
        self._hand_over()
        return asyncio.run_coroutine_threadsafe(self._writer.finish(), self._loop)

    def abort(self, error: BaseException) -> None:
        self._close_copy()
        _wait(self._loop, self._writer.__aexit__(type(error), error, error.__traceback__))

    def _close_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()

    def _hand_over(self) -> None:
        content, self._gathered = self._gathered, bytearray()
        self._handed_over = True
        try:
            _wait(self._loop, self._writer.write(content))
        except BaseException as error:
            self.failure = error
            raise


class _Prefetch:
    """A task that keeps a few chunks of a stream ready. An empty chunk is the end, or an error."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(PREFETCHED_CHUNKS)
        self._stopped = False
        self._task = asyncio.create_task(self._run(chunks), name="prefetch")

    @classmethod
    async def start(cls, chunks: AsyncGenerator[bytes]) -> "_Prefetch":
        return cls(chunks)

    async def next(self) -> bytes:
        chunk = await self._queue.get()
        if not chunk:
            await self._task  # raises what ended the stream early
        return chunk

    async def stop(self) -> None:
        self._stopped = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, chunks: AsyncGenerator[bytes]) -> None:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    await self._queue.put(chunk)
        finally:
            if not self._stopped:
                await self._queue.put(b"")


def held_file(key: str, name: str, content: bytes) -> StoredFile:
    """A document of JSON that its manifest holds."""
    digest = hashlib.sha256(content).hexdigest()
    return StoredFile(key, name, JSON, len(content), digest, content=content.decode())


def _stored_file(name: str, media_type: str, stored: Stored, rows: int | None, text_bytes: int = 0) -> StoredFile:
    return StoredFile(
        key=stored.key,
        name=name,
        media_type=media_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        rows=rows,
        text_bytes=text_bytes,
    )


def _done(stored: Stored) -> "Future[Stored]":
    done: Future[Stored] = Future()
    done.set_result(stored)
    return done


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result()
