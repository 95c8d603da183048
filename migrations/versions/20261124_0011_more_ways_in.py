"""Uploads by presigned URLs, and datasets whose bytes we have not read yet: their digest is not known.

Revision: 0011
After: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("datasets", "sha256", existing_type=sa.Text(), nullable=True)
    op.add_column("datasets", sa.Column("source", postgresql.JSONB(), nullable=True))
    op.create_check_constraint(
        op.f("ck_datasets_ready_has_a_digest"), "datasets", "status <> 'ready' OR sha256 IS NOT NULL"
    )
    op.add_column("uploads", sa.Column("presigned", postgresql.JSONB(), nullable=True))
    op.add_column("uploads", sa.Column("s3_upload_id", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_uploads_presigned"), "uploads", "(presigned IS NULL) = (expires_at IS NULL)")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_uploads_presigned"), "uploads")
    op.drop_column("uploads", "expires_at")
    op.drop_column("uploads", "s3_upload_id")
    op.drop_column("uploads", "presigned")
    op.drop_constraint(op.f("ck_datasets_ready_has_a_digest"), "datasets")
    op.drop_column("datasets", "source")
    op.execute("UPDATE datasets SET sha256 = repeat('0', 64) WHERE sha256 IS NULL")
    op.alter_column("datasets", "sha256", existing_type=sa.Text(), nullable=False)
