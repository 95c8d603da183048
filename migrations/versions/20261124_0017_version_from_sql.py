"""Programs that enqueue from SQL may say which version of the kind they mean; 0 where they do not.

Revision: 0017
After: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ENQUEUE = """
CREATE FUNCTION gristmill_enqueue(
    owner text, kind text, dataset_id uuid, params jsonb DEFAULT '{}', priority int DEFAULT 0,
    scheduled_at timestamptz DEFAULT now(), limit_key text DEFAULT '', max_attempts int DEFAULT 5,
    timeout_s int DEFAULT 3600, kind_version int DEFAULT 0
) RETURNS uuid LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    made jobs;
    target text;
BEGIN
    SELECT datasets.status INTO target FROM datasets
    WHERE datasets.id = gristmill_enqueue.dataset_id AND datasets.owner = gristmill_enqueue.owner FOR SHARE;
    IF target IS NULL THEN
        RAISE EXCEPTION 'there is no such dataset of this owner' USING ERRCODE = 'no_data_found';
    ELSIF target = 'failed' THEN
        RAISE EXCEPTION 'the dataset could not be made ready' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, priority, scheduled_at, limit_key, max_attempts,
        timeout_s, blocked, waits_for)
    VALUES (gristmill_enqueue.owner, gristmill_enqueue.kind, gristmill_enqueue.kind_version,
        gristmill_enqueue.dataset_id, gristmill_enqueue.params, gristmill_enqueue.priority,
        gristmill_enqueue.scheduled_at, gristmill_enqueue.limit_key, gristmill_enqueue.max_attempts,
        gristmill_enqueue.timeout_s,
        target = 'validating', CASE target WHEN 'validating' THEN gristmill_enqueue.dataset_id END)
    RETURNING * INTO made;
    INSERT INTO job_events (job_id, owner, type, attempt) VALUES (made.id, made.owner, 'created', 0);
    IF NOT made.blocked AND made.scheduled_at <= now() THEN
        PERFORM pg_notify('gristmill_jobs',
            json_build_array(made.priority, made.kind, made.owner, made.limit_key)::text);
    END IF;
    RETURN made.id;
END $$
"""

BEFORE = """
CREATE FUNCTION gristmill_enqueue(
    owner text, kind text, dataset_id uuid, params jsonb DEFAULT '{}', priority int DEFAULT 0,
    scheduled_at timestamptz DEFAULT now(), limit_key text DEFAULT '', max_attempts int DEFAULT 5,
    timeout_s int DEFAULT 3600
) RETURNS uuid LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    made jobs;
    target text;
BEGIN
    SELECT datasets.status INTO target FROM datasets
    WHERE datasets.id = gristmill_enqueue.dataset_id AND datasets.owner = gristmill_enqueue.owner FOR SHARE;
    IF target IS NULL THEN
        RAISE EXCEPTION 'there is no such dataset of this owner' USING ERRCODE = 'no_data_found';
    ELSIF target = 'failed' THEN
        RAISE EXCEPTION 'the dataset could not be made ready' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, priority, scheduled_at, limit_key, max_attempts,
        timeout_s, blocked, waits_for)
    VALUES (gristmill_enqueue.owner, gristmill_enqueue.kind, 1, gristmill_enqueue.dataset_id,
        gristmill_enqueue.params, gristmill_enqueue.priority,
        gristmill_enqueue.scheduled_at, gristmill_enqueue.limit_key, gristmill_enqueue.max_attempts,
        gristmill_enqueue.timeout_s,
        target = 'validating', CASE target WHEN 'validating' THEN gristmill_enqueue.dataset_id END)
    RETURNING * INTO made;
    INSERT INTO job_events (job_id, owner, type, attempt) VALUES (made.id, made.owner, 'created', 0);
    IF NOT made.blocked AND made.scheduled_at <= now() THEN
        PERFORM pg_notify('gristmill_jobs',
            json_build_array(made.priority, made.kind, made.owner, made.limit_key)::text);
    END IF;
    RETURN made.id;
END $$
"""


def upgrade() -> None:
    op.execute("DROP FUNCTION gristmill_enqueue")
    op.execute(ENQUEUE)


def downgrade() -> None:
    op.execute("DROP FUNCTION gristmill_enqueue")
    op.execute(BEFORE)
