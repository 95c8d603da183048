"""What the API asks that one owner's rows do not answer: this list is all of it.

Each is a function that runs as the owner of the tables, behind the fence, and tells no more than it is asked: a key by
its id, counts, numbers. So no statement of the API needs a way around the fence, and a connection may answer whoever it
is bound to. Workers read the tables themselves.

What is about keys is for an admin, and these functions look whether it is one who asks: `asked_by` is the id of the key
that the request is made with, and ids of keys are to be had from nowhere else. Secrets never come here, digests do.
"""

from enum import Enum
from typing import NamedTuple

from gristmill.domain.role import Role

_KEY = """
RETURNS TABLE (id text, owner text, secret_sha256 text, scopes jsonb, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, owner, secret_sha256, scopes, expires_at FROM api_keys
    WHERE id = key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());
END"""

_KEYS_EXIST = """
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM api_keys);
END"""

# A key is used thousands of times a minute: the hour is enough to know which are still needed.
_NOTE_USE = """
RETURNS void LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC
    UPDATE api_keys SET last_used_at = now()
    WHERE id = key_id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 hour');
END"""

_NOTE_REFUSAL = """
RETURNS text LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC
    INSERT INTO audit_events (action, owner, subject, reason)
    SELECT 'key.refused', owner, id, CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired' ELSE 'wrong secret' END
    FROM api_keys WHERE id = key_id
    RETURNING reason;
END"""

# Rows that are not final, through the indexes that hold no others.
_QUEUE_DEPTH = """
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
END"""

_WORKERS = """
RETURNS TABLE (id uuid, host text, pid int, slots smallint, version text, started_at timestamptz,
    heartbeat_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, host, pid, slots, version, started_at, heartbeat_at FROM workers ORDER BY started_at, id LIMIT 1000;
END"""

_WORKER_SLOTS = """
RETURNS TABLE (version text, workers int, slots int) LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT version, count(*)::int, sum(slots)::int FROM workers GROUP BY version;
END"""

# Through the index that holds running jobs alone.
_RUNNING_JOBS = """
RETURNS TABLE (worker_id uuid, kind text, attempt smallint, started_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT worker_id, kind, attempt, started_at FROM jobs WHERE status = 'running' ORDER BY started_at, id;
END"""

# By minutes of the database's clock, the one that is not over yet as the last. The index is by ranges of pages, so this
# reads about as many rows as became final in the time.
_FINISHED_JOBS = """
RETURNS TABLE (at timestamptz, kind text, completed int, failed int, canceled int)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT date_trunc('minute', finished_at) AS minute, kind,
        count(*) FILTER (WHERE status = 'completed')::int,
        count(*) FILTER (WHERE status = 'failed')::int,
        count(*) FILTER (WHERE status = 'canceled')::int
    FROM jobs WHERE finished_at > date_trunc('minute', now()) - minutes * interval '1 minute'
    GROUP BY 1, 2 ORDER BY 1, 2;
END"""

# All that a user would call a change, as one number; a heartbeat is none.
_JOB_STATES = """
RETURNS TABLE (id uuid, state bigint) LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, hashtextextended(ROW (status, lease, attempt, progress, cancel_requested_at, blocked, waits_for,
        reused_from, scheduled_at, started_at, finished_at)::text, 0)
    FROM jobs WHERE id = ANY (ids) AND owner = ANY (owners);
END"""

# The newest jobs of each owner, and all of theirs that run: those are what changes. `state` as above.
_LATEST_JOBS = """
RETURNS TABLE (owner text, id uuid, running boolean, state bigint)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT jobs.owner, jobs.id, jobs.status = 'running',
        hashtextextended(ROW (jobs.status, lease, attempt, progress, cancel_requested_at, blocked, waits_for,
            reused_from, scheduled_at, started_at, finished_at)::text, 0)
    FROM jobs JOIN (
        SELECT newest.id FROM unnest(owners) AS asked (name)
        CROSS JOIN LATERAL (
            SELECT jobs.id FROM jobs WHERE jobs.owner = asked.name ORDER BY jobs.id DESC LIMIT most
        ) AS newest
        UNION SELECT jobs.id FROM jobs WHERE status = 'running' AND jobs.owner = ANY (owners)
    ) AS looked_at ON looked_at.id = jobs.id;
END"""

# Under a policy the index on `sources` is of no use: its operator is not leakproof.
_JOB_IS_NAMED = """
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM jobs AS taker WHERE taker.sources IS NOT NULL AND taker.status IN ('pending', 'running')
            AND taker.sources @> jsonb_build_array(jsonb_build_object('id', job_id))
    );
END"""


_ADMIN = """EXISTS (
        SELECT FROM api_keys AS asking WHERE asking.id = asked_by AND asking.scopes @> '["admin"]'
            AND asking.revoked_at IS NULL AND (asking.expires_at IS NULL OR asking.expires_at > now())
    )"""
_KEY_COLUMNS = "number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by"
_KEY_STATUS = """CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired' ELSE 'active' END"""
_KEY_ROWS = """
RETURNS TABLE (number bigint, id text, owner text, name text, scopes jsonb, created_at timestamptz,
    expires_at timestamptz, last_used_at timestamptz, revoked_at timestamptz, replaced_by text, status text)
LANGUAGE sql"""

_LIST_KEYS = f"""{_KEY_ROWS} STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT {_KEY_COLUMNS}, {_KEY_STATUS}
    FROM api_keys
    WHERE {_ADMIN}
        AND (of_id IS NULL OR id = of_id) AND (of_owner IS NULL OR owner = of_owner) AND number < below
        AND (of_status IS NULL OR of_status = {_KEY_STATUS})
    ORDER BY number DESC LIMIT most;
END"""  # noqa: S608 (texts of ours)

# The very first key is made by whoever is on this machine: nobody could ask for it with a key.
_ADD_KEY = f"""{_KEY_ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH made AS (
        INSERT INTO api_keys (id, owner, name, secret_sha256, scopes, expires_at)
        SELECT key_id, key_owner, key_name, digest, key_scopes, expiry
        WHERE (asked_by IS NULL AND NOT EXISTS (SELECT FROM api_keys)) OR {_ADMIN}
        ON CONFLICT (id) DO NOTHING
        RETURNING {_KEY_COLUMNS}
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id) SELECT 'key.created', owner, id, asked_by FROM made
    )
    SELECT {_KEY_COLUMNS}, {_KEY_STATUS}
    FROM made;
END"""  # noqa: S608 (texts of ours)

# Never the key that asks; and of two that revoke each other, the one that is later asks with a revoked key. Both rows
# are locked first, in one order, and what is read of them is what the earlier one left.
_REVOKE_KEY = f"""{_KEY_ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH locked AS MATERIALIZED (
        SELECT {_KEY_COLUMNS} FROM api_keys WHERE id IN (asked_by, key_id) ORDER BY id FOR UPDATE
    ), asked AS (
        SELECT locked.id FROM locked WHERE id = key_id AND key_id <> asked_by AND EXISTS (
            SELECT FROM locked AS asking WHERE asking.id = asked_by AND asking.scopes @> '["admin"]'
                AND asking.revoked_at IS NULL AND (asking.expires_at IS NULL OR asking.expires_at > now())
        )
    ), ended AS (
        UPDATE api_keys SET revoked_at = coalesce(api_keys.revoked_at, now())
        FROM asked WHERE api_keys.id = asked.id
        RETURNING {", ".join(f"api_keys.{name}" for name in _KEY_COLUMNS.split(", "))}
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id)
        SELECT 'key.revoked', locked.owner, locked.id, asked_by FROM locked JOIN asked ON asked.id = locked.id
        WHERE locked.revoked_at IS NULL
    )
    SELECT {_KEY_COLUMNS}, {_KEY_STATUS}
    FROM ended;
END"""  # noqa: S608 (texts of ours)

# The new key and the old one as it is now. The old one never lives longer than it would have: LEAST passes over NULL.
_ROTATE_KEY = f"""{_KEY_ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH old AS MATERIALIZED (
        SELECT id, owner, name, scopes, expires_at FROM api_keys
        WHERE id = key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND replaced_by IS NULL
            AND {_ADMIN}
        FOR UPDATE
    ), made AS (
        INSERT INTO api_keys (id, owner, name, secret_sha256, scopes, expires_at)
        SELECT new_id, owner, name, digest, scopes, CASE WHEN keep_expiry THEN expires_at ELSE expiry END FROM old
        RETURNING {_KEY_COLUMNS}
    ), ending AS (
        UPDATE api_keys SET replaced_by = new_id,
            expires_at = least(api_keys.expires_at, now() + make_interval(secs => overlap_s))
        FROM old WHERE api_keys.id = old.id
        RETURNING {", ".join(f"api_keys.{name}" for name in _KEY_COLUMNS.split(", "))}
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id)
        SELECT 'key.rotated', owner, id, asked_by FROM old UNION ALL SELECT 'key.created', owner, id, asked_by FROM made
    )
    SELECT {_KEY_COLUMNS}, {_KEY_STATUS}
    FROM (SELECT * FROM made UNION ALL SELECT * FROM ending) AS told ORDER BY number DESC;
END"""  # noqa: S608 (texts of ours)


class Definition(NamedTuple):
    """A function in the database: its name, its arguments by name and type, what comes after them, who may call it."""

    name: str
    arguments: tuple[str, ...]
    body: str
    roles: tuple[Role, ...] = (Role.API,)

    @property
    def signature(self) -> str:
        return f"{self.name} ({', '.join(self.arguments)})"


class Question(Enum):
    """All there are. A new one is a function that a migration makes, and a reason in this file."""

    # Who asks is not known before his key is.
    KEY = Definition("gristmill_key", ("key_id text",), _KEY)
    KEYS_EXIST = Definition("gristmill_keys_exist", (), _KEYS_EXIST, (Role.API, Role.WORKER))
    NOTE_KEY_USE = Definition("gristmill_note_key_use", ("key_id text",), _NOTE_USE)
    NOTE_KEY_REFUSAL = Definition("gristmill_note_key_refusal", ("key_id text",), _NOTE_REFUSAL)
    # For an admin, over all owners.
    LIST_KEYS = Definition(
        "gristmill_list_keys",
        ("asked_by text", "of_id text", "of_owner text", "of_status text", "below bigint", "most int"),
        _LIST_KEYS,
    )
    ADD_KEY = Definition(
        "gristmill_add_key",
        (
            *("asked_by text", "key_id text", "key_owner text", "key_name text", "digest text", "key_scopes jsonb"),
            "expiry timestamptz",
        ),
        _ADD_KEY,
    )
    REVOKE_KEY = Definition("gristmill_revoke_key", ("asked_by text", "key_id text"), _REVOKE_KEY)
    ROTATE_KEY = Definition(
        "gristmill_rotate_key",
        (
            *("asked_by text", "key_id text", "new_id text", "digest text", "overlap_s float8"),
            *("keep_expiry boolean", "expiry timestamptz"),
        ),
        _ROTATE_KEY,
    )
    # Counts by kind, and workers, for everybody.
    QUEUE_DEPTH = Definition("gristmill_queue_depth", (), _QUEUE_DEPTH)
    WORKERS = Definition("gristmill_workers", (), _WORKERS)
    WORKER_SLOTS = Definition("gristmill_worker_slots", (), _WORKER_SLOTS)
    RUNNING_JOBS = Definition("gristmill_running_jobs", (), _RUNNING_JOBS)
    FINISHED_JOBS = Definition("gristmill_finished_jobs", ("minutes int",), _FINISHED_JOBS)
    # One look for all requests that wait; each then reads its job as its owner.
    JOB_STATES = Definition("gristmill_job_states", ("ids uuid[]", "owners text[]"), _JOB_STATES)
    # One look for all who follow their list of jobs.
    LATEST_JOBS = Definition("gristmill_latest_jobs", ("owners text[]", "most int"), _LATEST_JOBS)
    # Called by the statement that removes a job. A worker removes old ones by one that reads the table itself.
    JOB_IS_NAMED = Definition("gristmill_job_is_named", ("job_id uuid",), _JOB_IS_NAMED)

    @property
    def statement(self) -> str:
        places = ", ".join(f"${n}" for n in range(1, len(self.value.arguments) + 1))
        return f"SELECT * FROM {self.value.name}({places})"  # noqa: S608 (names of ours)

    @property
    def ddl(self) -> tuple[str, ...]:
        """Make it, for those who may call it and nobody else."""
        made = self.value
        return (
            f"CREATE FUNCTION {made.signature} {made.body}",
            f"REVOKE ALL ON FUNCTION {made.signature} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {made.signature} TO {', '.join(made.roles)}",
        )
