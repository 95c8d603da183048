"""Jobs name their dataset without a foreign key.

Revision: 0013
After: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEY = "fk_jobs_dataset_id"


def upgrade() -> None:
    op.drop_constraint(op.f(KEY), "jobs", type_="foreignkey")


def downgrade() -> None:
    op.create_foreign_key(op.f(KEY), "jobs", "datasets", ["dataset_id"], ["id"])
