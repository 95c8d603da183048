"""Datasets, and uploads that are not whole yet."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from gristmill.db.models.table import LABELED, NEW_ID, NOW, Table, one_of
from gristmill.domain.dataset import DataFormat, DatasetStatus


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
