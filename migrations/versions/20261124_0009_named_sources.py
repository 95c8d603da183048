"""Jobs whose params name another job's document or another dataset: what they named when they were submitted.

Revision: 0009
After: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sources", postgresql.JSONB(), nullable=True))
    op.create_index(
        "ix_jobs_sources",
        "jobs",
        ["sources"],
        postgresql_using="gin",
        postgresql_ops={"sources": "jsonb_path_ops"},
        postgresql_where=sa.text("sources IS NOT NULL AND status IN ('pending', 'running')"),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_sources", "jobs")
    op.drop_column("jobs", "sources")
