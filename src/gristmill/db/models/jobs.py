"""Jobs, their history, and the schedules that make more of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from gristmill.db.models.table import LABELED, NEW_ID, NOW, Table, one_of
from gristmill.domain.job import JobEvent, JobStatus
from gristmill.domain.schedule import MissedPolicy


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
