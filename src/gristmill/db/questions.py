"""What the API asks that one owner's rows do not answer: this list is all of it.

Each is a function that runs as the owner of the tables, behind the fence, and tells no more than it is asked: a key by
its id, counts, numbers. So no statement of the API needs a way around the fence, and a connection may answer whoever it
is bound to. Workers read the tables themselves.
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
    heartbeat_at timestamptz, running int)
LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT workers.id, workers.host, workers.pid, workers.slots, workers.version, workers.started_at,
        workers.heartbeat_at,
        (SELECT count(*) FROM jobs WHERE jobs.status = 'running' AND jobs.worker_id = workers.id)::int
    FROM workers ORDER BY workers.started_at, workers.id LIMIT 1000;
END"""

_WORKER_SLOTS = """
RETURNS TABLE (version text, workers int, slots int) LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT version, count(*)::int, sum(slots)::int FROM workers GROUP BY version;
END"""

# All that a user would call a change, as one number; a heartbeat is none.
_JOB_STATES = """
RETURNS TABLE (id uuid, state bigint) LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT id, hashtextextended(ROW (status, lease, attempt, progress, cancel_requested_at, blocked, waits_for,
        reused_from, scheduled_at, started_at, finished_at)::text, 0)
    FROM jobs WHERE id = ANY (ids) AND owner = ANY (owners);
END"""

# Under a policy the index on `sources` is of no use: its operator is not leakproof.
_JOB_IS_NAMED = """
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM jobs AS taker WHERE taker.sources IS NOT NULL AND taker.status IN ('pending', 'running')
            AND taker.sources @> jsonb_build_array(jsonb_build_object('id', job_id))
    );
END"""


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
    # Counts by kind, and workers, for everybody.
    QUEUE_DEPTH = Definition("gristmill_queue_depth", (), _QUEUE_DEPTH)
    WORKERS = Definition("gristmill_workers", (), _WORKERS)
    WORKER_SLOTS = Definition("gristmill_worker_slots", (), _WORKER_SLOTS)
    # One look for all requests that wait; each then reads its job as its owner.
    JOB_STATES = Definition("gristmill_job_states", ("ids uuid[]", "owners text[]"), _JOB_STATES)
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
