"""The second fence: roles for the API and the workers, and row-level security.

Roles belong to the whole server: they are made if they are missing, and stay when this is taken back, because other
databases may use them.

Revision: 0014
After: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

API, WORKER = "gristmill_api", "gristmill_worker"

# Who migrates is made a member where that is his to do, so that one login is enough; where it is not, logins of their
# own are granted the roles.
ROLES = f"""
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{API}', '{WORKER}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- the migration of another database was faster
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the role % is missing, and % may not make it', wanted, current_user
                    USING ERRCODE = 'insufficient_privilege', HINT = format('CREATE ROLE %I NOLOGIN;', wanted);
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', wanted, current_user);
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE NOTICE '% may not act as %: the API and the workers need logins of their own', current_user, wanted;
            END;
        END IF;
        IF NOT has_schema_privilege(wanted, current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
        END IF;
    END LOOP;
END $$
"""

# What the API and what a worker may do.
GRANTS = {
    "alembic_version": ("SELECT", "SELECT"),
    "datasets": ("SELECT, INSERT, UPDATE", "SELECT, UPDATE"),
    "uploads": ("SELECT, INSERT, UPDATE, DELETE", "SELECT, DELETE"),
    "idempotency_keys": ("SELECT, INSERT, UPDATE", "SELECT, DELETE"),
    "jobs": ("SELECT, INSERT, UPDATE, DELETE", "SELECT, INSERT, UPDATE, DELETE"),
    "job_events": ("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
    "lost_attempts": ("SELECT (lease), INSERT", "SELECT, INSERT, DELETE"),
    "queue_limits": ("SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    "rate_claims": ("", "SELECT, INSERT, DELETE"),
    "schedules": ("SELECT, INSERT, UPDATE, DELETE", "SELECT, UPDATE"),
    "webhooks": ("SELECT, INSERT, UPDATE, DELETE", "SELECT, UPDATE (disabled, updated_at)"),
    "webhook_deliveries": ("SELECT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"),
    "workers": ("", "SELECT, INSERT, UPDATE, DELETE"),
    "audit_events": ("INSERT", "INSERT"),
}

OWNED = (
    "api_keys",
    "audit_events",
    "datasets",
    "idempotency_keys",
    "job_events",
    "jobs",
    "schedules",
    "uploads",
    "webhook_deliveries",
    "webhooks",
)
MINE = "owner = nullif(current_setting('gristmill.owner', true), '')"

LABELED = ("datasets", "jobs")

FUNCTIONS = {
    "gristmill_key (key_id text)": """
RETURNS TABLE (id text, owner text, secret_sha256 text, scopes jsonb, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, owner, secret_sha256, scopes, expires_at FROM api_keys
    WHERE id = key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());
END""",
    "gristmill_keys_exist ()": """
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM api_keys);
END""",
    "gristmill_note_key_use (key_id text)": """
RETURNS void LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC
    UPDATE api_keys SET last_used_at = now()
    WHERE id = key_id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 hour');
END""",
    "gristmill_note_key_refusal (key_id text)": """
RETURNS text LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC
    INSERT INTO audit_events (action, owner, subject, reason)
    SELECT 'key.refused', owner, id, CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired' ELSE 'wrong secret' END
    FROM api_keys WHERE id = key_id
    RETURNING reason;
END""",
    "gristmill_queue_depth ()": """
RETURNS TABLE (kind text, due int, delayed int, blocked int, running int, oldest_wait_s float8)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT kind, sum(due)::int AS due, sum(delayed)::int AS delayed, sum(blocked)::int AS blocked,
        sum(running)::int AS running, max(oldest_wait_s)::float8 AS oldest_wait_s
    FROM (
        SELECT kind, count(*) FILTER (WHERE scheduled_at <= now()) AS due,
            count(*) FILTER (WHERE scheduled_at > now()) AS delayed, 0 AS blocked, 0 AS running,
            extract(epoch FROM now() - min(scheduled_at) FILTER (WHERE scheduled_at <= now())) AS oldest_wait_s
        FROM jobs WHERE status = 'pending' AND NOT blocked GROUP BY kind
        UNION ALL SELECT kind, 0, 0, count(*), 0, NULL FROM jobs WHERE blocked GROUP BY kind
        UNION ALL SELECT kind, 0, 0, 0, count(*), NULL FROM jobs WHERE status = 'running' GROUP BY kind
    ) AS counted
    GROUP BY kind ORDER BY kind;
END""",
    "gristmill_workers ()": """
RETURNS TABLE (id uuid, host text, pid int, slots smallint, version text, started_at timestamptz,
    heartbeat_at timestamptz, running int)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT workers.id, workers.host, workers.pid, workers.slots, workers.version, workers.started_at,
        workers.heartbeat_at,
        (SELECT count(*) FROM jobs WHERE jobs.status = 'running' AND jobs.worker_id = workers.id)::int
    FROM workers ORDER BY workers.started_at, workers.id LIMIT 1000;
END""",
    "gristmill_job_states (ids uuid[], owners text[])": """
RETURNS TABLE (id uuid, state bigint) LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, hashtextextended(ROW (status, lease, attempt, progress, cancel_requested_at, blocked, waits_for,
        reused_from, scheduled_at, started_at, finished_at)::text, 0)
    FROM jobs WHERE id = ANY (ids) AND owner = ANY (owners);
END""",
    "gristmill_job_is_named (job_id uuid)": """
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM jobs AS taker WHERE taker.sources IS NOT NULL AND taker.status IN ('pending', 'running')
            AND taker.sources @> jsonb_build_array(jsonb_build_object('id', job_id))
    );
END""",
}


def upgrade() -> None:
    op.execute(ROLES)
    for table, granted in GRANTS.items():
        for role, privileges in zip((API, WORKER), granted, strict=True):
            if privileges:
                op.execute(f"GRANT {privileges} ON {table} TO {role}")
    op.execute(f"GRANT USAGE ON SEQUENCE job_leases TO {WORKER}")
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_its_owner ON {table} TO {API} USING ({MINE})")
        op.execute(f"CREATE POLICY of_all_owners ON {table} TO {WORKER} USING (true)")
    for table in LABELED:
        op.execute(
            f"CREATE VIEW {table}_labels AS SELECT id, labels FROM {table}"  # noqa: S608 (names of ours)
            f" WHERE {MINE} OR NOT row_security_active('{table}'::regclass)"
        )
        op.execute(f"GRANT SELECT ON {table}_labels TO {API}")
    for signature, body in FUNCTIONS.items():
        op.execute(f"CREATE FUNCTION {signature} {body}")
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {API}")
    op.execute(f"GRANT EXECUTE ON FUNCTION gristmill_keys_exist () TO {WORKER}")


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    for table in LABELED:
        op.execute(f"DROP VIEW {table}_labels")
    for table in OWNED:
        op.execute(f"DROP POLICY of_all_owners ON {table}")
        op.execute(f"DROP POLICY of_its_owner ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute(f"REVOKE ALL ON SEQUENCE job_leases FROM {API}, {WORKER}")
    for table in GRANTS:
        op.execute(f"REVOKE ALL ON {table} FROM {API}, {WORKER}")
