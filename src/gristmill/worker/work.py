"""What a child process does with one job: the only code of the worker that touches data. Blocking."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import polars as pl

from gristmill import metrics
from gristmill.domain.dataset import DatasetInput
from gristmill.domain.job import INGEST_KIND, ClaimedJob, Progress
from gristmill.domain.manifest import (
    KEPT_NAME,
    ORIGINAL,
    Manifest,
    StoredFile,
    dataset_prefix,
    is_part,
    original_key,
)
from gristmill.domain.outcome import Completed
from gristmill.domain.output import Extent, OnProgress
from gristmill.domain.source import DocumentSource
from gristmill.errors import BadData, GristmillError, InputFailed, InternalError, MemoryLimit, NotFound, Snooze
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from gristmill.objects import ObjectOutput, ObjectSource, ObjectStore, classify, load, scan
from gristmill.processors import AnyProcessor, find
from gristmill.processors.contract import decode_params
from gristmill.processors.naming import pointing, with_documents
from gristmill.processors.run import Other, Part, run
from gristmill.settings import MIB, Settings
from gristmill.steps import Steps
from gristmill.telemetry import frames, get_logger
from gristmill.tracing import within
from gristmill.worker.hashed import Hashed
from gristmill.worker.memory import give_back
from gristmill.worker.place import place_of_job
from gristmill.worker.protocol import Broken, Done, Later, Noted

log = get_logger(__name__)

T = TypeVar("T")

PROGRESS_S = 0.2
# A stage shorter than this leaves little to be given back to the system, and asking for it takes time.
TRIM_S = 0.05
# What is read once into memory instead of from S3 in every pass: most of a small job's time is calls of S3.
SMALL_BYTES = 2 * MIB
SMALL_CELLS = 200_000


class Workbench:
    """All that jobs have in common, kept from job to job. `store` belongs to `loop`, which runs in another thread."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        loop: asyncio.AbstractEventLoop,
        processors: Mapping[str, AnyProcessor],
    ) -> None:
        self._settings = settings
        self._store = store
        self._loop = loop
        self._processors = processors

    def perform(self, job: ClaimedJob, scratch: Path, on_progress: OnProgress) -> Done | Broken | Later:
        """Do the job. Whatever goes wrong becomes a problem that quotes nothing of the user's data."""
        steps = Steps()
        with nullcontext() if job.traceparent is None else within(job.traceparent, steps):
            answer = self._attempt(job, scratch, on_progress)
        return msgspec.structs.replace(answer, noted=Noted(metrics.S3_SECONDS.take(), tuple(steps.noted)))

    def _attempt(self, job: ClaimedJob, scratch: Path, on_progress: OnProgress) -> Done | Broken | Later:
        try:
            return Done(self._complete(job, scratch, Throttled(on_progress)))
        except Snooze as error:
            return Later(error.delay_s)
        except BaseException as error:  # noqa: BLE001 (a panic of Polars is no Exception; every job gets an answer)
            return broken(error, job)

    def _complete(self, job: ClaimedJob, scratch: Path, progress: OnProgress) -> Completed:
        bucket, prefix = place_of_job(self._settings, job)
        with ObjectOutput(self._store, self._loop, bucket, prefix, hold=job.kind != INGEST_KIND) as output:
            if job.kind == INGEST_KIND:
                return self._ingest(job, scratch, output, progress, bucket=bucket, prefix=prefix)
            return self._process(job, output, progress, bucket=bucket, prefix=prefix)

    def _ingest(
        self, job: ClaimedJob, scratch: Path, output: ObjectOutput, progress: OnProgress, *, bucket: str, prefix: str
    ) -> Completed:
        scratch.mkdir()
        dataset = self._fetched(job, bucket)
        key = original_key(str(dataset.id))
        original = Hashed(lambda: ObjectSource(self._store, self._loop, bucket, key))
        found = ingest(
            original.open if dataset.sha256 is None else original.source,
            declared=dataset.format,
            size_bytes=dataset.size_bytes,
            options=msgspec.json.decode(job.params, type=IngestOptions),
            limits=_limits(self._settings),
            scratch=scratch,
            output=output,
            progress=progress,
        )
        digest = dataset.sha256 or original.sha256()
        found = msgspec.structs.replace(found, sha256=digest, size_bytes=dataset.size_bytes)
        manifest = Manifest(
            bucket=bucket,
            prefix=prefix,
            files=output.finish(),
            rows_in=found.rows_read,
            rows_out=found.rows_loaded,
            rows_dropped=found.rows_rejected,
        )
        return Completed(manifest, found)

    def _fetched(self, job: ClaimedJob, bucket: str) -> DatasetInput:
        """The dataset, with its original in the bucket: of a job's result or somebody else's object it is made now.

        Doing it again gives the same object. Raises BadData: the source is another by now.
        """
        dataset = job.dataset
        key = original_key(str(dataset.id))
        if dataset.derived:
            parts = self._parts(dataset, whole=True)
            extent = Extent(sum(part.rows for part in parts), sum(part.text_bytes for part in parts))
            with ObjectOutput(self._store, self._loop, bucket, dataset_prefix(str(dataset.id))) as output:
                output.table(ORIGINAL, pl.concat([part.scan() for part in parts], how="vertical"), extent=extent)
                (stored,) = output.finish()
            return msgspec.structs.replace(dataset, sha256=stored.sha256, size_bytes=stored.size_bytes)
        if dataset.source is not None and not self._wait(self._is_there(bucket, key, dataset.size_bytes)):
            copying = self._store.copy(
                source_bucket=dataset.source.bucket,
                source_key=dataset.source.key,
                etag=dataset.source.etag,
                size_bytes=dataset.size_bytes,
                bucket=bucket,
                key=key,
            )
            self._wait(copying)
        return dataset

    async def _is_there(self, bucket: str, key: str, size_bytes: int) -> bool:
        try:
            return (await self._store.head(bucket, key)).size_bytes == size_bytes
        except NotFound:
            return False

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _process(
        self, job: ClaimedJob, output: ObjectOutput, progress: OnProgress, *, bucket: str, prefix: str
    ) -> Completed:
        processor = find(job.kind, self._processors)
        params = decode_params(processor, bytes(job.params))
        # Rows are looked at in any case where a result has some; a small dataset is then in memory, and fitted sooner
        # than an object is fetched.
        small = processor.makes_rows() and _is_small_dataset(job.dataset)
        kept = self._kept(job) if processor.recalls() and not small else None
        with pointing(params):
            finished = run(
                processor,
                params=with_documents(params, self._documents(job)),
                columns=job.dataset.columns,
                parts=self._parts(job.dataset, whole=kept is None),
                output=output,
                progress=progress,
                kept=kept,
                others={name: self._other(dataset) for name, dataset in job.others.items()},
                memory=self._settings.executor_memory_mb * MIB,
            )
        manifest = Manifest(
            bucket=bucket,
            prefix=prefix,
            files=output.finish(),
            rows_in=finished.rows_in,
            rows_out=finished.rows_out,
            rows_dropped=finished.rows_dropped,
            report=msgspec.Raw(msgspec.json.encode(finished.report)),
            columns=finished.columns,
        )
        return Completed(manifest)

    def _kept(self, job: ClaimedJob) -> bytes | None:
        """What ingest kept of the dataset's figures. Older datasets and results of jobs have nothing of the kind."""
        stored = job.dataset.parts
        if stored is None or job.dataset.derived:
            return None
        file = next((file for file in stored.files if file.name == KEPT_NAME), None)
        return None if file is None else self._store.small.get(stored.bucket, file.key, sha256=file.sha256)

    def _documents(self, job: ClaimedJob) -> dict[str, bytes]:
        """The documents that the params name, by param."""
        return {source.param: self._document(source) for source in job.sources if isinstance(source, DocumentSource)}

    def _document(self, source: DocumentSource) -> bytes:
        try:
            return self._store.small.get(source.bucket, source.key, sha256=source.sha256)
        except NotFound:
            raise InputFailed("A job whose result the params name has none any more.") from None

    def _other(self, dataset: DatasetInput) -> Other:
        return Other(dataset.columns, tuple(self._parts(dataset, whole=True)))

    def _parts(self, dataset: DatasetInput, *, whole: bool) -> list[Part]:
        """The parts; `whole`: all of them will be read."""
        stored = dataset.parts
        if stored is None:
            raise BadData("The dataset has no parts.")
        files = _files(dataset)
        if whole and _is_small(files, columns=len(dataset.columns)):
            tables = zip(load(self._store, stored.bucket, files), files, strict=True)
            return [Part(table.lazy, file.rows or 0, file.text_bytes) for table, file in tables]
        return [
            Part(partial(scan, self._settings, stored.bucket, file), file.rows or 0, file.text_bytes) for file in files
        ]


class Throttled:
    """Passes progress on at most every `PROGRESS_S` seconds, and whenever the stage changes."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._stage: str | None = None
        self._next = 0.0
        self._since = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == self._stage and now < self._next:
            return
        if progress.stage != self._stage:
            if now - self._since >= TRIM_S:
                give_back()
            self._since = now
        self._stage, self._next = progress.stage, now + PROGRESS_S
        self._on_progress(progress)


def _files(dataset: DatasetInput) -> list[StoredFile]:
    """Of a dataset its parts, not what was rejected; another job's result has tables alone (see db/inputs.py)."""
    stored = dataset.parts
    return [] if stored is None else [file for file in stored.files if dataset.derived or is_part(file.name)]


def _is_small_dataset(dataset: DatasetInput) -> bool:
    return _is_small(_files(dataset), columns=len(dataset.columns))


def _is_small(files: Sequence[StoredFile], *, columns: int) -> bool:
    """Whether all of it fits into memory many times over, also where it is compressed well."""
    cells = columns * sum(file.rows or 0 for file in files)
    return cells <= SMALL_CELLS and sum(file.size_bytes for file in files) <= SMALL_BYTES


def broken(error: BaseException, job: ClaimedJob) -> Broken:
    """An exception as the problem of its job. What is not one of ours gets an id, and its frames go to the log."""
    if isinstance(error, GristmillError):
        return Broken(error.problem(), error.permanent)
    if isinstance(error, MemoryError):  # asked for at once, so the system said no; it would again
        limit = MemoryLimit("It asked for more memory than the system gives. Fewer columns or rows would help")
        return Broken(limit.problem(), limit.permanent)
    told = classify(error) if isinstance(error, Exception) else InternalError(type(error).__name__)
    if not isinstance(told, InternalError):
        return Broken(told.problem(), told.permanent)
    problem_id = uuid4()
    # Neither message nor values: parsers quote what they read.
    log.error(
        "job.defect",
        job_id=str(job.id),
        lease=job.lease,
        problem_id=str(problem_id),
        error=type(error).__name__,
        frames=frames(error),
    )
    detail = f"An unexpected error ({type(error).__name__}); our log has it under the id {problem_id}"
    return Broken(InternalError(detail).problem(), permanent=False)


def _limits(settings: Settings) -> Limits:
    return Limits(
        part_rows=settings.part_rows,
        max_columns=settings.max_columns,
        max_cell_bytes=settings.max_cell_bytes,
        max_expanded_bytes=settings.max_expanded_bytes,
        memory=settings.executor_memory_mb * MIB,
    )
