"""The queue at full strength: lanes, limits, dependencies, reuse; history in one table, off the claim's path.

`job_attempts` and `job_results` go: an attempt is the events that carry its lease, a result is `jobs.manifest`, and
what is still to be swept is in `lost_attempts`.

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
MOMENT = postgresql.TIMESTAMP(timezone=True)
EVENTS = (
    "'created', 'released', 'claimed', 'cancel_requested', 'retrying', 'interrupted', 'completed', 'failed', 'canceled'"
)
EVENTS_NOW = (
    "'created', 'released', 'claimed', 'cancel_requested', 'retrying', 'snoozed', 'interrupted', 'resubmitted',"
    " 'completed', 'failed', 'canceled'"
)
LEADER = "reuse_key IS NOT NULL AND reused_from IS NULL AND status IN ('pending', 'running')"
REUSABLE = "reuse_key IS NOT NULL AND reused_from IS NULL AND status = 'completed'"


def upgrade() -> None:
    op.create_table(
        "lost_attempts",
        sa.Column("lease", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.UUID(), nullable=False),
        sa.Column("ended_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("lease", name=op.f("pk_lost_attempts")),
    )
    op.create_index("ix_lost_attempts_ended_at", "lost_attempts", ["ended_at"])
    op.create_table(
        "queue_limits",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("rate_period_s", sa.Integer(), nullable=True),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "scope IN ('all', 'kind', 'owner', 'key') AND (scope = 'all') = (name = '')",
            name=op.f("ck_queue_limits_scope"),
        ),
        sa.CheckConstraint("max_running >= 1", name=op.f("ck_queue_limits_max_running")),
        sa.CheckConstraint(
            "(rate IS NULL) = (rate_period_s IS NULL) AND (rate IS NULL OR scope = 'kind') AND rate >= 1"
            " AND rate_period_s BETWEEN 1 AND 86400",
            name=op.f("ck_queue_limits_rate"),
        ),
        sa.CheckConstraint("NOT paused OR scope IN ('all', 'kind')", name=op.f("ck_queue_limits_paused")),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_queue_limits")),
    )
    op.create_table(
        "rate_claims",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_claims")),
    )
    op.create_index("ix_rate_claims_kind_at", "rate_claims", ["kind", "at"])
    _widen_jobs()
    _move_history()
    _index_jobs()


def _widen_jobs() -> None:
    op.add_column("jobs", sa.Column("input_job_id", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("waits_for", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("awaited", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("jobs", sa.Column("limit_key", sa.Text(), server_default="", nullable=False))
    op.add_column("jobs", sa.Column("manifest", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("jobs", sa.Column("reuse_key", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("reused_from", sa.UUID(), nullable=True))
    op.alter_column("jobs", "max_attempts", server_default=sa.text("5"))
    op.alter_column("jobs", "timeout_s", server_default=sa.text("3600"))


def _move_history() -> None:
    op.execute("UPDATE jobs SET waits_for = dataset_id WHERE blocked")
    op.execute(
        "UPDATE jobs SET params = datasets.options FROM datasets"
        " WHERE datasets.id = jobs.dataset_id AND kind = 'ingest' AND jobs.status IN ('pending', 'running')"
    )
    op.execute("UPDATE jobs SET manifest = job_results.manifest FROM job_results WHERE job_results.job_id = jobs.id")
    op.execute(
        "INSERT INTO lost_attempts (lease, job_id, kind, dataset_id, ended_at)"
        " SELECT job_attempts.lease, job_id, kind, dataset_id, job_attempts.finished_at"
        " FROM job_attempts JOIN jobs ON jobs.id = job_attempts.job_id"
        " WHERE outcome IS NOT NULL AND outcome <> 'completed' AND swept_at IS NULL"
    )
    op.drop_table("job_results")
    op.drop_table("job_attempts")
    op.drop_index("ix_job_events_job", table_name="job_events")
    op.drop_constraint(op.f("fk_job_events_job_id"), "job_events", type_="foreignkey")
    op.drop_constraint(op.f("pk_job_events"), "job_events", type_="primary")
    op.create_primary_key(op.f("pk_job_events"), "job_events", ["job_id", "id"])
    _replace_check("job_events", "type", f"type IN ({EVENTS_NOW})")


def _index_jobs() -> None:
    _replace_check("jobs", "owner", "owner <> '' AND length(owner) <= 200")
    _replace_check(
        "jobs",
        "blocked_is_pending",
        "blocked = (waits_for IS NOT NULL) AND (NOT blocked OR status = 'pending')",
    )
    op.create_check_constraint(
        op.f("ck_jobs_names"), "jobs", "kind <> '' AND length(kind) <= 100 AND length(limit_key) <= 200"
    )
    op.create_check_constraint(
        op.f("ck_jobs_completed_has_a_result"), "jobs", "(status = 'completed') = (manifest IS NOT NULL)"
    )
    for name in ("ix_jobs_claim", "ix_jobs_dataset", "ix_jobs_running"):
        op.drop_index(name, table_name="jobs")
    lane = [sa.text(f"{column} DESC") for column in ("priority", "kind", "owner", "limit_key")]
    op.create_index(
        "ix_jobs_claim",
        "jobs",
        [*lane, "scheduled_at", "id"],
        postgresql_where=sa.text("status = 'pending' AND NOT blocked"),
    )
    op.create_index("ix_jobs_running", "jobs", ["lease"], postgresql_where=sa.text("status = 'running'"))
    op.create_index("ix_jobs_waiting", "jobs", ["waits_for"], postgresql_where=sa.text("blocked"))
    op.create_index("uq_jobs_leader", "jobs", ["owner", "reuse_key"], unique=True, postgresql_where=sa.text(LEADER))
    op.create_index("ix_jobs_reusable", "jobs", ["owner", "reuse_key"], postgresql_where=sa.text(REUSABLE))
    op.create_index("ix_jobs_reused_from", "jobs", ["reused_from"], postgresql_where=sa.text("reused_from IS NOT NULL"))
    op.create_index("ix_jobs_input", "jobs", ["input_job_id"], postgresql_where=sa.text("input_job_id IS NOT NULL"))


def _replace_check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def downgrade() -> None:
    _take_back_history()
    for name in (
        "ix_jobs_claim",
        "ix_jobs_running",
        "ix_jobs_waiting",
        "uq_jobs_leader",
        "ix_jobs_reusable",
        "ix_jobs_reused_from",
        "ix_jobs_input",
    ):
        op.drop_index(name, table_name="jobs")
    for name in ("ck_jobs_names", "ck_jobs_completed_has_a_result"):
        op.drop_constraint(op.f(name), "jobs", type_="check")
    _replace_check("jobs", "owner", "owner <> ''")
    _replace_check("jobs", "blocked_is_pending", "NOT blocked OR status = 'pending'")
    for column in ("input_job_id", "waits_for", "awaited", "limit_key", "manifest", "reuse_key", "reused_from"):
        op.drop_column("jobs", column)
    op.alter_column("jobs", "max_attempts", server_default=None)
    op.alter_column("jobs", "timeout_s", server_default=None)
    op.create_index(
        "ix_jobs_claim",
        "jobs",
        [sa.text("priority DESC"), "scheduled_at", "id"],
        postgresql_where=sa.text("status = 'pending' AND NOT blocked"),
    )
    op.create_index("ix_jobs_running", "jobs", ["worker_id"], postgresql_where=sa.text("status = 'running'"))
    op.create_index(
        "ix_jobs_dataset", "jobs", ["dataset_id"], postgresql_where=sa.text("status IN ('pending', 'running')")
    )
    for table in ("rate_claims", "queue_limits", "lost_attempts"):
        op.drop_table(table)


def _take_back_history() -> None:
    op.execute("DELETE FROM job_events WHERE type IN ('snoozed', 'resubmitted')")
    _replace_check("job_events", "type", f"type IN ({EVENTS})")
    op.drop_constraint(op.f("pk_job_events"), "job_events", type_="primary")
    op.create_primary_key(op.f("pk_job_events"), "job_events", ["id"])
    op.create_foreign_key(op.f("fk_job_events_job_id"), "job_events", "jobs", ["job_id"], ["id"], ondelete="CASCADE")
    op.create_index("ix_job_events_job", "job_events", ["job_id", "id"])
    op.create_table(
        "job_attempts",
        sa.Column("lease", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("swept_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('completed', 'failed', 'retry', 'canceled', 'interrupted')",
            name=op.f("ck_job_attempts_outcome"),
        ),
        sa.CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name=op.f("ck_job_attempts_ended_is_dated")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_attempts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("lease", name=op.f("pk_job_attempts")),
    )
    op.create_index("ix_job_attempts_job_id", "job_attempts", ["job_id"])
    op.create_index(
        "ix_job_attempts_unswept",
        "job_attempts",
        ["finished_at"],
        postgresql_where=sa.text("outcome IS NOT NULL AND outcome <> 'completed' AND swept_at IS NULL"),
    )
    op.create_table(
        "job_results",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("manifest", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("committed_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_results_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_results")),
        sa.UniqueConstraint("lease", name=op.f("uq_job_results_lease")),
    )
    # What can be told from the events; an attempt's worker is not kept there.
    op.execute(
        "INSERT INTO job_results (job_id, owner, lease, manifest, committed_at)"
        " SELECT jobs.id, jobs.owner, job_events.lease, jobs.manifest, job_events.at"
        " FROM jobs JOIN job_events ON job_events.job_id = jobs.id AND job_events.type = 'completed'"
        " WHERE jobs.manifest IS NOT NULL AND job_events.lease IS NOT NULL"
    )
    op.execute(
        "INSERT INTO job_attempts (lease, job_id, owner, attempt, worker_id, started_at, finished_at, outcome)"
        " SELECT lease, job_id, 'unknown', 1, '00000000-0000-0000-0000-000000000000', ended_at, ended_at, 'failed'"
        " FROM lost_attempts WHERE EXISTS (SELECT FROM jobs WHERE jobs.id = lost_attempts.job_id)"
    )
