"""Datasets may also be JSON arrays, Arrow IPC and Excel workbooks.

Revision: 0007
After: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_datasets_format"), "datasets")
    op.create_check_constraint(
        op.f("ck_datasets_format"), "datasets", "format IN ('csv', 'ndjson', 'json', 'parquet', 'arrow', 'xlsx')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_datasets_format"), "datasets")
    op.create_check_constraint(op.f("ck_datasets_format"), "datasets", "format IN ('csv', 'ndjson', 'parquet')")
