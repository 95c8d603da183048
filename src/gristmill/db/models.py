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
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from gristmill.domain.audit import AuditAction
from gristmill.domain.dataset import DataFormat, DatasetStatus
from gristmill.domain.job import JobEvent, JobStatus
from gristmill.domain.schedule import MissedPolicy
from gristmill.domain.webhook import DeliveryStatus


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
LABELED = text("labels <> '{}'")


class Dataset(Table):
    """A dataset that was removed stays as a stub (`deleted_at`), because jobs name it; it is `failed`, and never shown.

    `objects_left`: what it had in the bucket is still to be removed.
    """

    __tablename__ = "datasets"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    name: Mapped[str]
    format: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=DatasetStatus.VALIDATING)
    original_key: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    source: Mapped[dict[str, Any] | None]
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
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    objects_left: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint(one_of("status", DatasetStatus), name="status"),
        CheckConstraint(one_of("format", DataFormat), name="format"),
        CheckConstraint("size_bytes >= 0 AND sha256 ~ '^[0-9a-f]{64}$'", name="original"),
        CheckConstraint("status <> 'ready' OR sha256 IS NOT NULL", name="ready_has_a_digest"),
        CheckConstraint("rows_read = rows_loaded + rows_rejected", name="row_conservation"),
        CheckConstraint(
            "status <> 'ready' OR (columns IS NOT NULL AND manifest IS NOT NULL AND rows_read IS NOT NULL"
            " AND rows_loaded IS NOT NULL AND rows_rejected IS NOT NULL)",
            name="ready_is_complete",
        ),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="failed_says_why"),
        Index("ix_datasets_owner_page", "owner", text("id DESC")),
        Index("ix_datasets_owner_created", "owner", "created_at"),
        Index("ix_datasets_labels", "labels", postgresql_using="gin", postgresql_where=LABELED),
        Index("ix_datasets_expires_at", "expires_at", postgresql_where=text("deleted_at IS NULL")),
        Index("ix_datasets_objects_left", "deleted_at", postgresql_where=text("objects_left")),
    )


class Upload(Table):
    """An upload under way: written before its first byte reaches the bucket, so the sweep knows what to remove.

    One by `presigned` URLs lives until `expires_at`, any other as long as it is touched.
    """

    __tablename__ = "uploads"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)
    presigned: Mapped[dict[str, Any] | None]
    s3_upload_id: Mapped[str | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint("(presigned IS NULL) = (expires_at IS NULL)", name="presigned"),
        Index("ix_uploads_touched_at", "touched_at"),
    )


class IdempotencyKey(Table):
    """A key that a user gave to a request that creates, and what was answered to it.

    The row commits together with what was created. Without a `status` an upload under that key is under way, for as
    long as the upload's row lives.
    """

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[UUID | None]
    payload_sha256: Mapped[str | None]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    location: Mapped[str | None]
    body: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint("(status IS NULL) = (payload_sha256 IS NULL)", name="answer"),
        CheckConstraint("status IS NOT NULL OR upload_id IS NOT NULL", name="under_way"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )


class Job(Table):
    """The queue. A row that is `blocked` waits for the dataset or job `waits_for`; the claim never sees it.

    The rows of one (priority, kind, owner, limit_key) are a lane: claims go from lane to lane, and in a lane by time.
    It names its dataset without a foreign key: who puts jobs has locked the dataset's row once for all of them,
    datasets are never deleted but hidden, and a check for each row again cost a fifth of the time of putting many.
    `awaited` says that others wait for this job, so that most completions need not look for them.
    """

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    kind: Mapped[str]
    kind_version: Mapped[int] = mapped_column(SmallInteger)
    dataset_id: Mapped[UUID]
    input_job_id: Mapped[UUID | None]
    sources: Mapped[list[Any] | None]
    params: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(server_default=JobStatus.PENDING)
    blocked: Mapped[bool] = mapped_column(server_default=text("false"))
    waits_for: Mapped[UUID | None]
    awaited: Mapped[bool] = mapped_column(server_default=text("false"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    limit_key: Mapped[str] = mapped_column(server_default="")
    scheduled_at: Mapped[datetime] = mapped_column(server_default=NOW)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    timeout_s: Mapped[int] = mapped_column(server_default=text("3600"))
    lease: Mapped[int | None] = mapped_column(BigInteger)
    lease_expires_at: Mapped[datetime | None]
    worker_id: Mapped[UUID | None]
    cancel_requested_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    manifest: Mapped[dict[str, Any] | None]
    reuse_key: Mapped[str | None]
    reused_from: Mapped[UUID | None]
    webhook_id: Mapped[UUID | None]
    webhook_noted: Mapped[bool] = mapped_column(server_default=text("false"))
    # W3C trace context, version 00: whose request this job was made for.
    traceparent: Mapped[str | None] = mapped_column(String(55))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("owner <> '' AND length(owner) <= 200", name="owner"),
        CheckConstraint("kind <> '' AND length(kind) <= 100 AND length(limit_key) <= 200", name="names"),
        CheckConstraint(one_of("status", JobStatus), name="status"),
        CheckConstraint("priority BETWEEN -100 AND 100", name="priority"),
        CheckConstraint("attempt BETWEEN 0 AND max_attempts", name="attempts"),
        CheckConstraint("max_attempts BETWEEN 1 AND 100 AND timeout_s > 0", name="limits"),
        CheckConstraint(
            "blocked = (waits_for IS NOT NULL) AND (NOT blocked OR status = 'pending')", name="blocked_is_pending"
        ),
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
        # Ingest keeps what it made with the dataset too; a completed job without a result can't exist.
        CheckConstraint("(status = 'completed') = (manifest IS NOT NULL)", name="completed_has_a_result"),
        # Claimable rows only, lane by lane; finished and blocked rows are not in it, delayed ones end their lane.
        # Descending as a whole, so that the next lane is one row comparison away.
        Index(
            "ix_jobs_claim",
            text("priority DESC"),
            text("kind DESC"),
            text("owner DESC"),
            text("limit_key DESC"),
            "scheduled_at",
            "id",
            postgresql_where=text("status = 'pending' AND NOT blocked"),
        ),
        # By lease, so that every plan that picks it reads one row for one lease; lease_expires_at is left out so that
        # heartbeats stay HOT updates.
        Index("ix_jobs_running", "lease", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_waiting", "waits_for", postgresql_where=text("blocked")),
        Index("ix_jobs_owner_page", "owner", text("id DESC")),
        # Jobs without labels are not in it and pay nothing for it.
        Index("ix_jobs_labels", "labels", postgresql_using="gin", postgresql_where=LABELED),
        # By ranges of pages: an entry for each job would cost every completion, and updates stay HOT under this kind.
        Index(
            "ix_jobs_finished_at",
            "finished_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 16, "autosummarize": True},
        ),
        # One job does what identical ones wait for.
        Index(
            "uq_jobs_leader",
            "owner",
            "reuse_key",
            unique=True,
            postgresql_where=text("reuse_key IS NOT NULL AND reused_from IS NULL AND status IN ('pending', 'running')"),
        ),
        Index(
            "ix_jobs_reusable",
            "owner",
            "reuse_key",
            postgresql_where=text("reuse_key IS NOT NULL AND reused_from IS NULL AND status = 'completed'"),
        ),
        Index("ix_jobs_reused_from", "reused_from", postgresql_where=text("reused_from IS NOT NULL")),
        Index(
            "ix_jobs_webhook",
            "finished_at",
            postgresql_where=text("webhook_id IS NOT NULL AND NOT webhook_noted AND finished_at IS NOT NULL"),
        ),
        Index("ix_jobs_input", "input_job_id", postgresql_where=text("input_job_id IS NOT NULL")),
        # Who still needs a result or dataset that its params name; few jobs have such.
        Index(
            "ix_jobs_sources",
            "sources",
            postgresql_using="gin",
            postgresql_ops={"sources": "jsonb_path_ops"},
            postgresql_where=text("sources IS NOT NULL AND status IN ('pending', 'running')"),
        ),
        # Room for the next version of the row on its page: status changes and heartbeats are updates.
        {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02}},
    )


class LostAttempt(Table):
    """An attempt that ended without its result being published, and that nobody has cleaned up after yet."""

    __tablename__ = "lost_attempts"

    lease: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[UUID]
    kind: Mapped[str]
    dataset_id: Mapped[UUID]
    ended_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (Index("ix_lost_attempts_ended_at", "ended_at"),)


class JobEventRow(Table):
    """A job's history, append-only, in the order of its ids: who claimed it under which lease, and what came of it.

    It names its job without a foreign key: a check for each row would cost the queue a third of its speed, and every
    event is written by the statement that changes its job.
    """

    __tablename__ = "job_events"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    owner: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    type: Mapped[str]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    lease: Mapped[int | None] = mapped_column(BigInteger)
    data: Mapped[dict[str, Any] | None]

    __table_args__ = (CheckConstraint(one_of("type", JobEvent), name="type"),)


class QueueLimit(Table):
    """What an operator has set for a kind, an owner, a named key, or (scope `all`) for everything."""

    __tablename__ = "queue_limits"

    scope: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    max_running: Mapped[int | None]
    rate: Mapped[int | None]
    rate_period_s: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("scope IN ('all', 'kind', 'owner', 'key') AND (scope = 'all') = (name = '')", name="scope"),
        CheckConstraint("max_running >= 1", name="max_running"),
        CheckConstraint(
            "(rate IS NULL) = (rate_period_s IS NULL) AND (rate IS NULL OR scope = 'kind')"
            " AND rate >= 1 AND rate_period_s BETWEEN 1 AND 86400",
            name="rate",
        ),
        CheckConstraint("NOT paused OR scope IN ('all', 'kind')", name="paused"),
    )


class RateClaim(Table):
    """Claims of a kind with a rate limit, append-only: a counter row would be a hot one."""

    __tablename__ = "rate_claims"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    jobs: Mapped[int]

    __table_args__ = (Index("ix_rate_claims_kind_at", "kind", "at"),)


class Schedule(Table):
    """A job that is made again and again. `next_at` is the first time that has not been fired."""

    __tablename__ = "schedules"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    name: Mapped[str]
    cron: Mapped[str]
    time_zone: Mapped[str]
    missed: Mapped[str] = mapped_column(server_default=MissedPolicy.ONCE)
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"))
    kind: Mapped[str]
    kind_version: Mapped[int] = mapped_column(SmallInteger)
    params: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    limit_key: Mapped[str] = mapped_column(server_default="")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    timeout_s: Mapped[int]
    webhook_id: Mapped[UUID | None]
    next_at: Mapped[datetime]
    last_at: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None]
    last_error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint(one_of("missed", MissedPolicy), name="missed"),
        CheckConstraint("priority BETWEEN -100 AND 100", name="priority"),
        CheckConstraint("max_attempts BETWEEN 1 AND 100 AND timeout_s > 0", name="limits"),
        Index("ix_schedules_due", "next_at", postgresql_where=text("NOT paused")),
        Index("ix_schedules_owner_page", "owner", text("id DESC")),
    )


class Webhook(Table):
    """Where a user wants to be told of jobs. The secret signs, so it is kept as it is.

    While `old_secret_until` is to come, what is sent is signed with both secrets.
    """

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    owner: Mapped[str]
    url: Mapped[str]
    secret: Mapped[str]
    old_secret: Mapped[str | None]
    old_secret_until: Mapped[datetime | None]
    disabled: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint("disabled IN ('paused', 'gone')", name="disabled"),
        Index("ix_webhooks_owner_page", "owner", text("id DESC")),
    )


class WebhookDelivery(Table):
    """One event to be told at a webhook, and how that went. `next_at` is when it is tried, or tried again."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    owner: Mapped[str]
    job_id: Mapped[UUID]
    event_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(server_default=DeliveryStatus.PENDING)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=NOW)
    response_status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint(one_of("status", DeliveryStatus), name="status"),
        CheckConstraint("(status = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_is_dated"),
        Index("ix_webhook_deliveries_due", "next_at", postgresql_where=text("status = 'pending'")),
        Index("ix_webhook_deliveries_page", "webhook_id", text("id DESC")),
        Index("ix_webhook_deliveries_over", "created_at", postgresql_where=text("status <> 'pending'")),
    )


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
    """An API key. Only the digest of its secret is kept. Its id says nothing of its age, so pages go by `number`."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    owner: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    secret_sha256: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    replaced_by: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("owner <> ''", name="owner"),
        CheckConstraint("length(name) <= 200", name="name"),
        CheckConstraint("secret_sha256 ~ '^[0-9a-f]{64}$'", name="digest"),
        Index("uq_api_keys_number", "number", unique=True),
    )


class Audit(Table):
    """What happened to keys, and what was deleted: append-only, ids alone."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    action: Mapped[str]
    owner: Mapped[str]
    subject: Mapped[str]
    key_id: Mapped[str | None]
    reason: Mapped[str | None]

    __table_args__ = (CheckConstraint(one_of("action", AuditAction), name="action"),)
