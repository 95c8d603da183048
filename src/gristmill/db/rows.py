"""Rows as the rest of the program sees them. JSON columns stay text until somebody needs what is in them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, DatasetInput, DatasetStatus, Source
from gristmill.domain.job import JobStatus, Progress
from gristmill.domain.manifest import Manifest
from gristmill.domain.source import Sources
from gristmill.errors import Problem
from gristmill.tracing import current


class DatasetRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    owner: str
    name: str
    format: DataFormat
    status: DatasetStatus
    original_key: str
    media_type: str
    size_bytes: int
    sha256: str | None
    options: msgspec.Raw
    columns: tuple[Column, ...] | None
    rows_read: int | None
    rows_loaded: int | None
    rows_rejected: int | None
    rows_repaired: int | None
    dialect: msgspec.Raw | None
    profile: msgspec.Raw | None
    warnings: tuple[str, ...] | None
    manifest: Manifest | None
    error: Problem | None
    labels: dict[str, str]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class JobRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job; `manifest` is there when it is completed. What has a default is as in a job that was just added."""

    id: UUID
    owner: str
    kind: str
    kind_version: int
    dataset_id: UUID
    input_job_id: UUID | None
    params: msgspec.Raw
    labels: dict[str, str]
    status: JobStatus = JobStatus.PENDING
    blocked: bool
    waits_for: UUID | None
    priority: int
    limit_key: str
    scheduled_at: datetime
    attempt: int = 0
    max_attempts: int
    timeout_s: int
    cancel_requested_at: datetime | None = None
    progress: Progress | None = None
    error: Problem | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    manifest: Manifest | None = None
    reuse_key: str | None
    reused_from: UUID | None = None
    webhook_id: UUID | None = None


JOB_COLUMNS = JobRow.__struct_fields__


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job to enqueue. `params` and `labels` are JSON objects; `scheduled_at` None means now.

    With `input_job_id` it takes that job's result as its data; `dataset_id` is then the dataset of that job.
    With a `reuse_key` it may be given the result of an identical job. `sources` are what its params name.
    A job that is made for a request belongs to the request's trace.
    """

    owner: str
    dataset_id: UUID
    kind: str
    kind_version: int
    params: bytes
    max_attempts: int
    timeout_s: int
    labels: bytes = b"{}"
    priority: int = 0
    scheduled_at: datetime | None = None
    limit_key: str = ""
    input_job_id: UUID | None = None
    reuse_key: str | None = None
    webhook_id: UUID | None = None
    sources: Sources = ()
    traceparent: str | None = msgspec.field(default_factory=current)


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    job_id: UUID
    at: datetime
    type: str
    attempt: int
    data: msgspec.Raw | None


Record = Mapping[str, Any]

_columns = msgspec.json.Decoder(tuple[Column, ...])
_strings = msgspec.json.Decoder(tuple[str, ...])
_labels = msgspec.json.Decoder(dict[str, str])
_manifest = msgspec.json.Decoder(Manifest)
_problem = msgspec.json.Decoder(Problem)
_source = msgspec.json.Decoder(Source)
_progress = msgspec.json.Decoder(Progress)
# The columns of a job that are JSON of a known shape.
_DECODED = (
    ("labels", _labels.decode),
    ("progress", _progress.decode),
    ("error", _problem.decode),
    ("manifest", _manifest.decode),
)


def raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def dataset_row(record: Record) -> DatasetRow:
    values = dict(record)
    values["format"] = DataFormat(values["format"])
    values["status"] = DatasetStatus(values["status"])
    for name in ("options", "dialect", "profile"):
        values[name] = raw(values[name])
    for name, decoder in (
        ("columns", _columns),
        ("warnings", _strings),
        ("manifest", _manifest),
        ("error", _problem),
        ("labels", _labels),
    ):
        values[name] = values[name] and decoder.decode(values[name])
    return DatasetRow(**values)


def job_row(values: dict[str, Any]) -> JobRow:
    """The row of these columns. The dict is used up."""
    values["status"] = JobStatus(values["status"])
    values["params"] = raw(values["params"])
    for name, decode in _DECODED:
        text = values[name]
        if text:
            values[name] = decode(text)
    return JobRow(**values)


def sources_of(job: NewJob) -> str | None:
    """What the params of a new job name, as JSON."""
    return msgspec.json.encode(job.sources).decode() if job.sources else None


def new_row(
    job: NewJob, identity: UUID, *, waits_for: UUID | None, scheduled_at: datetime, created_at: datetime
) -> JobRow:
    """The row of a job that was just added."""
    return JobRow(
        id=identity,
        owner=job.owner,
        kind=job.kind,
        kind_version=job.kind_version,
        dataset_id=job.dataset_id,
        input_job_id=job.input_job_id,
        params=msgspec.Raw(job.params),
        labels={} if job.labels == b"{}" else msgspec.json.decode(job.labels, type=dict[str, str]),
        blocked=waits_for is not None,
        waits_for=waits_for,
        priority=job.priority,
        limit_key=job.limit_key,
        scheduled_at=scheduled_at,
        max_attempts=job.max_attempts,
        timeout_s=job.timeout_s,
        created_at=created_at,
        updated_at=created_at,
        reuse_key=job.reuse_key,
        webhook_id=job.webhook_id,
    )


def event_row(record: Record) -> EventRow:
    values = dict(record)
    values["data"] = raw(values["data"])
    return EventRow(**values)


def result_manifest(text: str) -> Manifest:
    return _manifest.decode(text)


def dataset_input(record: Record) -> DatasetInput:
    """A dataset as a job's data."""
    columns, manifest = record["columns"], record["manifest"]
    return DatasetInput(
        id=record["id"],
        format=DataFormat(record["format"]),
        original_key=record["original_key"],
        size_bytes=record["size_bytes"],
        columns=_columns.decode(columns) if columns else (),
        parts=_manifest.decode(manifest) if manifest else None,
        rows=record["rows_loaded"] or 0,
        sha256=record["sha256"],
        source=_source.decode(record["source"]) if record["source"] else None,
    )
