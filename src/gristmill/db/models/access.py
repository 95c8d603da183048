"""Who may use this, what they did, and requests that were answered."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from gristmill.db.models.table import NOW, Table, one_of
from gristmill.domain.audit import AuditAction


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
