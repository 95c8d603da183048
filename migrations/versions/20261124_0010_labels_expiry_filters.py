"""Labels and expiry of datasets; indexes for lists by label and by time.

Revision: 0010
After: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("labels", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("datasets", sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_index("ix_datasets_owner_created", "datasets", ["owner", "created_at"])
    op.create_index(
        "ix_datasets_expires_at", "datasets", ["expires_at"], postgresql_where=sa.text("deleted_at IS NULL")
    )
    for table in ("datasets", "jobs"):
        op.create_index(
            f"ix_{table}_labels",
            table,
            ["labels"],
            postgresql_using="gin",
            postgresql_where=sa.text("labels <> '{}'"),
        )
    op.create_index(
        "ix_jobs_finished_at",
        "jobs",
        ["finished_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 16, "autosummarize": True},
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_finished_at", "jobs")
    op.drop_index("ix_jobs_labels", "jobs")
    op.drop_index("ix_datasets_labels", "datasets")
    op.drop_index("ix_datasets_expires_at", "datasets")
    op.drop_index("ix_datasets_owner_created", "datasets")
    op.drop_column("datasets", "expires_at")
    op.drop_column("datasets", "labels")
