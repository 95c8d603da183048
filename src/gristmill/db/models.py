"""The schema. Alembic compares the database with this, so what is not here does not exist.

Invariants are CHECK constraints: a row that breaks one can't be committed, by whatever program.
Every table that holds something of a user's has its owner.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Sequence,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from gristmill.domain.dataset import DataFormat, DatasetStatus
from gristmill.domain.job import JobEvent, JobStatus
from gristmill.domain.outcome import OUTCOME_NAMES


def one_of(column: str, values: Iterable[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        str: Text,
        UUID: PG_UUID(as_uuid=True),
    }


# Lease numbers fence every write of an attempt. They come from a sequence, so none is ever given twice.
LEASES = Sequence("job_leases", metadata=Table.metadata)

# Version 7: ids sort by time, so a page is a range of ids.
NEW_ID = text("uuidv7()")
NOW = func.now()


class Dataset(Table):
    __tablename__ = "datasets"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    name: Mapped[str]
    format: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=DatasetStatus.VALIDATING)
    original_key: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    columns: Mapped[list[Any] | None]
    rows_read: Mapped[int | None] = mapped_column(BigInteger)
    rows_loaded: Mapped[int | None] = mapped_column(BigInteger)
    rows_rejected: Mapped[int | None] = mapped_column(BigInteger)
    rows_repaired: Mapped[int | None] = mapped_column(BigInteger)
    dialect: Mapped[dict[str, Any] | None]
    profile: Mapped[dict[str, Any] | None]
    warnings: Mapped[list[Any] | None]
    manifest: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint(one_of("status", DatasetStatus), name="status"),
        CheckConstraint(one_of("format", DataFormat), name="format"),
        CheckConstraint("size_bytes >= 0 AND sha256 ~ '^[0-9a-f]{64}$'", name="original"),
        CheckConstraint("rows_read = rows_loaded + rows_rejected", name="row_conservation"),
        CheckConstraint(
            "status <> 'ready' OR (columns IS NOT NULL AND manifest IS NOT NULL AND rows_read IS NOT NULL"
            " AND rows_loaded IS NOT NULL AND rows_rejected IS NOT NULL)",
            name="ready_is_complete",
        ),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="failed_says_why"),
        Index("ix_datasets_owner_page", "owner", text("id DESC")),
    )


class Upload(Table):
    """An upload under way: written before its first byte reaches the bucket, so the sweep knows what to remove."""

    __tablename__ = "uploads"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (CheckConstraint("owner <> ''", name="owner"), Index("ix_uploads_touched_at", "touched_at"))


class Job(Table):
    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    kind: Mapped[str]
    kind_version: Mapped[int] = mapped_column(SmallInteger)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"))
    params: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(server_default=JobStatus.PENDING)
    blocked: Mapped[bool] = mapped_column(server_default=text("false"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    scheduled_at: Mapped[datetime] = mapped_column(server_default=NOW)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    timeout_s: Mapped[int]
    lease: Mapped[int | None] = mapped_column(BigInteger)
    lease_expires_at: Mapped[datetime | None]
    worker_id: Mapped[UUID | None]
    cancel_requested_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint(one_of("status", JobStatus), name="status"),
        CheckConstraint("priority BETWEEN -100 AND 100", name="priority"),
        CheckConstraint("attempt BETWEEN 0 AND max_attempts", name="attempts"),
        CheckConstraint("max_attempts BETWEEN 1 AND 100 AND timeout_s > 0", name="limits"),
        CheckConstraint("NOT blocked OR status = 'pending'", name="blocked_is_pending"),
        CheckConstraint(
            "(status = 'running') = (lease IS NOT NULL) AND (lease IS NULL) = (lease_expires_at IS NULL)"
            " AND (lease IS NULL) = (worker_id IS NULL)",
            name="running_is_leased",
        ),
        CheckConstraint(
            "(status IN ('completed', 'failed', 'canceled')) = (finished_at IS NOT NULL)", name="final_is_dated"
        ),
        CheckConstraint("status <> 'failed' OR error IS NOT NULL", name="failed_says_why"),
        CheckConstraint("status <> 'completed' OR error IS NULL", name="completed_has_no_error"),
        # Claimable rows only, in the order of the claim; finished and blocked rows are not in it.
        Index(
            "ix_jobs_claim",
            text("priority DESC"),
            "scheduled_at",
            "id",
            postgresql_where=text("status = 'pending' AND NOT blocked"),
        ),
        # As many rows as there are executors; lease_expires_at is left out so that heartbeats stay HOT updates.
        Index("ix_jobs_running", "worker_id", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_dataset", "dataset_id", postgresql_where=text("status IN ('pending', 'running')")),
        Index("ix_jobs_owner_page", "owner", text("id DESC")),
        # Room for the next version of the row on its page: status changes and heartbeats are updates.
        {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02}},
    )


class JobAttempt(Table):
    """One claim. Written by the claim itself, so whatever an attempt wrote to the bucket can be found by its lease."""

    __tablename__ = "job_attempts"

    lease: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    owner: Mapped[str]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    worker_id: Mapped[UUID]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    swept_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOME_NAMES), name="outcome"),
        CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="ended_is_dated"),
        Index("ix_job_attempts_job_id", "job_id"),
        Index(
            "ix_job_attempts_unswept",
            "finished_at",
            postgresql_where=text("outcome IS NOT NULL AND outcome <> 'completed' AND swept_at IS NULL"),
        ),
    )


class JobEventRow(Table):
    """A job's history, append-only, in the order of its ids."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    owner: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    type: Mapped[str]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    lease: Mapped[int | None] = mapped_column(BigInteger)
    data: Mapped[dict[str, Any] | None]

    __table_args__ = (
        CheckConstraint(one_of("type", JobEvent), name="type"),
        Index("ix_job_events_job", "job_id", "id"),
    )


class JobResult(Table):
    """The commit record: one row a job, written in the transaction that completes it and never changed."""

    __tablename__ = "job_results"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str]
    lease: Mapped[int] = mapped_column(BigInteger, unique=True)
    manifest: Mapped[dict[str, Any]]
    committed_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Worker(Table):
    """A live worker process. It belongs to the operator, so it has no owner."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    slots: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ApiKey(Table):
    """An API key. Only the digest of its secret is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    secret_sha256: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint("secret_sha256 ~ '^[0-9a-f]{64}$'", name="digest"),
    )
