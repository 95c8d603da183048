"""Webhooks, what was sent to them, and the jobs that name one.

Revision: 0008
After: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
OUTBOX = "webhook_id IS NOT NULL AND NOT webhook_noted AND finished_at IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        sa.Column("old_secret_until", TIME, nullable=True),
        sa.Column("disabled", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("owner <> ''", name=op.f("ck_webhooks_owner")),
        sa.CheckConstraint("disabled IN ('paused', 'gone')", name=op.f("ck_webhooks_disabled")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_owner_page", "webhooks", ["owner", sa.text("id DESC")])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("webhook_id", sa.UUID(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", TIME, nullable=True),
        sa.CheckConstraint("owner <> ''", name=op.f("ck_webhook_deliveries_owner")),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_status")),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_at IS NOT NULL)",
            name=op.f("ck_webhook_deliveries_delivered_is_dated"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_webhook_deliveries_page", "webhook_deliveries", ["webhook_id", sa.text("id DESC")])
    op.create_index(
        "ix_webhook_deliveries_over",
        "webhook_deliveries",
        ["created_at"],
        postgresql_where=sa.text("status <> 'pending'"),
    )
    op.add_column("schedules", sa.Column("webhook_id", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("webhook_id", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("webhook_noted", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_jobs_webhook", "jobs", ["finished_at"], postgresql_where=sa.text(OUTBOX))


def downgrade() -> None:
    op.drop_index("ix_jobs_webhook", "jobs")
    op.drop_column("jobs", "webhook_noted")
    op.drop_column("jobs", "webhook_id")
    op.drop_column("schedules", "webhook_id")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
