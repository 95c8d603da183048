"""Webhooks and what was sent to them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from gristmill.db.models.table import NEW_ID, NOW, Table, one_of
from gristmill.domain.webhook import DeliveryStatus


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
