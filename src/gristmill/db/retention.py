"""Forgetting finished jobs: the row, its events, and a note for the sweep of what its result left in the bucket.

Ids sort by time, so old jobs are found by walking the primary key: an index on `finished_at` would cost every
completion.
"""

from dataclasses import dataclass
from uuid import UUID

from gristmill.db.engine import Database

# One window of the walk. What others still need stays: a result that is reused, data of a job that is to run, and
# whatever an attempt left that is not swept yet. Row and note are one statement, so no object is forgotten.
PRUNE = """
WITH walked AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE id > $1 AND id < (SELECT uuidv7(-make_interval(secs => least($3::float8, $4::float8))))
    ORDER BY id LIMIT $2
), prunable AS MATERIALIZED (
    SELECT jobs.id FROM jobs
    WHERE id = ANY (ARRAY (SELECT id FROM walked)) AND status IN ('completed', 'failed', 'canceled')
        AND finished_at < now() - make_interval(secs => CASE status WHEN 'failed' THEN $4::float8 ELSE $3::float8 END)
        AND NOT EXISTS (SELECT FROM jobs AS twin WHERE twin.reused_from = jobs.id)
        AND NOT EXISTS (
            SELECT FROM jobs AS taker WHERE taker.input_job_id = jobs.id AND taker.status IN ('pending', 'running')
        )
        AND NOT EXISTS (
            SELECT FROM jobs AS taker WHERE taker.sources IS NOT NULL AND taker.status IN ('pending', 'running')
                AND taker.sources @> jsonb_build_array(jsonb_build_object('id', jobs.id))
        )
        AND NOT EXISTS (SELECT FROM lost_attempts WHERE lost_attempts.job_id = jobs.id)
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs WHERE id = ANY (ARRAY (SELECT id FROM prunable)) RETURNING id, kind, dataset_id
), events AS (
    DELETE FROM job_events WHERE job_id = ANY (ARRAY (SELECT id FROM prunable)) RETURNING job_id, type, lease
), noted AS (
    INSERT INTO lost_attempts (lease, job_id, kind, dataset_id)
    SELECT events.lease, gone.id, gone.kind, gone.dataset_id FROM events JOIN gone ON gone.id = events.job_id
    WHERE events.type = 'completed' AND events.lease IS NOT NULL AND gone.kind <> 'ingest'
)
SELECT (SELECT max(id::text)::uuid FROM walked) AS last, (SELECT count(*) FROM walked)::int AS walked,
    (SELECT count(*) FROM gone)::int AS pruned
"""

FORGET_RATES = """
DELETE FROM rate_claims WHERE at < clock_timestamp() - interval '1 day'
"""

WINDOW = 500
FIRST = UUID(int=0)
# Longer than anything was ever kept, and within what an id can say of its time.
FOREVER_S = 1.5e9


@dataclass(frozen=True)
class Walked:
    """How far one window went: `after` is where the next begins; None when this was the last."""

    after: UUID | None
    pruned: int


async def prune_jobs(database: Database, *, after: UUID, keep_s: float, keep_failed_s: float) -> Walked:
    """Forget those jobs of one window that ended so long ago; 0 seconds keeps them for ever.

    A job that is not final is never forgotten, however old it is.
    """
    async with database.driver() as driver:
        record = await driver.fetchrow(PRUNE, after, WINDOW, keep_s or FOREVER_S, keep_failed_s or FOREVER_S)
    if record is None:
        return Walked(None, 0)
    return Walked(record["last"] if record["walked"] == WINDOW else None, record["pruned"])


async def forget_rates(database: Database) -> int:
    """Forget starts that no rate can count any more."""
    async with database.driver() as driver:
        return int((await driver.execute(FORGET_RATES)).rpartition(" ")[2])
