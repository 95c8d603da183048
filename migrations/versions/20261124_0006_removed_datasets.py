"""Datasets that were removed: a stub for the jobs that name it, and the note that objects are left.

Revision: 0006
After: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("datasets", sa.Column("objects_left", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_datasets_objects_left", "datasets", ["deleted_at"], postgresql_where=sa.text("objects_left"))


def downgrade() -> None:
    op.drop_index("ix_datasets_objects_left", "datasets")
    op.drop_column("datasets", "objects_left")
    op.drop_column("datasets", "deleted_at")
