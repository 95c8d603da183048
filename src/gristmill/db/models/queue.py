"""What the queue keeps beside the jobs: limits, and who works."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from gristmill.db.models.table import NOW, Table


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
