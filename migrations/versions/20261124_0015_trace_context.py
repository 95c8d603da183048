"""Jobs carry the trace context of the request that made them; the API counts what workers can run.

Revision: 0015
After: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WORKER_SLOTS = """
CREATE FUNCTION gristmill_worker_slots () RETURNS TABLE (version text, workers int, slots int)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT version, count(*)::int, sum(slots)::int FROM workers GROUP BY version;
END
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("traceparent", sa.String(55)))
    op.execute(WORKER_SLOTS)
    op.execute("REVOKE ALL ON FUNCTION gristmill_worker_slots () FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION gristmill_worker_slots () TO gristmill_api")


def downgrade() -> None:
    op.execute("DROP FUNCTION gristmill_worker_slots ()")
    op.drop_column("jobs", "traceparent")
