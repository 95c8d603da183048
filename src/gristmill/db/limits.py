"""Statements on what operators limit: who is paused, how many may run, how many may start in a time.

How many run is counted from the leases, and how many started from an append-only table: no counter row that everybody
would have to update. Two claimers of a limited lane take turns by an advisory lock, the others never meet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gristmill.db.engine import Database, Driver

LIST = "SELECT scope, name, paused, max_running, rate, rate_period_s FROM queue_limits ORDER BY scope, name"

RUNNING = """
SELECT kind, owner, limit_key, count(*)::int AS jobs FROM jobs WHERE status = 'running' GROUP BY kind, owner, limit_key
"""

# What was started in the period that ends now, and when the oldest of it leaves that period.
STARTED = """
SELECT queue_limits.name AS kind, coalesce(sum(rate_claims.jobs), 0)::int AS jobs,
    extract(epoch FROM min(rate_claims.at) - clock_timestamp())::float8 + queue_limits.rate_period_s AS eases_s
FROM queue_limits LEFT JOIN rate_claims ON rate_claims.kind = queue_limits.name
    AND rate_claims.at > clock_timestamp() - make_interval(secs => queue_limits.rate_period_s)
WHERE queue_limits.scope = 'kind' AND queue_limits.rate IS NOT NULL
GROUP BY queue_limits.name, queue_limits.rate_period_s
"""

# Under the kind's lock, so nobody else counts meanwhile. What has left the period is not needed any more.
NOTE_STARTED = """
WITH gone AS (
    DELETE FROM rate_claims USING queue_limits
    WHERE rate_claims.kind = ANY ($1::text[]) AND queue_limits.scope = 'kind' AND queue_limits.name = rate_claims.kind
        AND rate_claims.at < clock_timestamp() - make_interval(secs => queue_limits.rate_period_s)
)
INSERT INTO rate_claims (kind, jobs) SELECT * FROM unnest($1::text[], $2::int[])
"""

# The seed is any number that only we use.
LOCK = "SELECT bool_and(pg_try_advisory_xact_lock(hashtextextended(name, 7203115))) FROM unnest($1::text[]) AS name"

SET = """
INSERT INTO queue_limits (scope, name, paused, max_running, rate, rate_period_s) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope, name) DO UPDATE SET paused = excluded.paused, max_running = excluded.max_running,
    rate = excluded.rate, rate_period_s = excluded.rate_period_s, updated_at = now()
"""
DROP = "DELETE FROM queue_limits WHERE scope = $1 AND name = $2 RETURNING true"

PAUSE = """
WITH paused AS (
    INSERT INTO queue_limits (scope, name, paused) VALUES ($1, $2, $3)
    ON CONFLICT (scope, name) DO UPDATE SET paused = excluded.paused, updated_at = now()
)
SELECT pg_notify('gristmill_jobs', '')
"""
WAKE = "SELECT pg_notify('gristmill_jobs', '')"


@dataclass(frozen=True)
class Limit:
    """One row of limits. `scope` is all, kind, owner or key; at most `rate` starts in any `rate_period_s` seconds."""

    scope: str
    name: str
    paused: bool = False
    max_running: int | None = None
    rate: int | None = None
    rate_period_s: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.scope, self.name


@dataclass(frozen=True)
class Started:
    """How many jobs of a kind started in its period, and in how many seconds the first of them is out of it."""

    kind: str
    jobs: int
    eases_s: float | None


async def limits(driver: Driver) -> list[Limit]:
    return [Limit(**record) for record in await driver.fetch(LIST)]


async def list_limits(database: Database) -> list[Limit]:
    async with database.driver() as driver:
        return await limits(driver)


async def running_jobs(driver: Driver) -> dict[tuple[str, str], int]:
    """How many jobs run by (scope, name), for all scopes."""
    counts: dict[tuple[str, str], int] = {}
    for kind, owner, limit_key, jobs in await driver.fetch(RUNNING):
        for scope in (("all", ""), ("kind", kind), ("owner", owner), ("key", limit_key)):
            counts[scope] = counts.get(scope, 0) + jobs
    return counts


async def started_jobs(driver: Driver) -> list[Started]:
    return [Started(**record) for record in await driver.fetch(STARTED)]


async def note_started(driver: Driver, counts: Sequence[tuple[str, int]]) -> None:
    """Count starts of kinds with a rate limit; the caller holds their locks."""
    await driver.execute(NOTE_STARTED, [kind for kind, _ in counts], [jobs for _, jobs in counts])


async def lock_limits(driver: Driver, keys: Iterable[tuple[str, str]]) -> bool:
    """Take the locks of these limits until the transaction ends; False when somebody else has one of them."""
    return bool(await driver.fetchval(LOCK, sorted(f"{scope}:{name}" for scope, name in keys)))


async def set_limit(database: Database, limit: Limit) -> None:
    """Set a limit, and wake the workers: it may be wider than before."""
    async with database.driver() as driver, driver.transaction():
        await driver.execute(
            SET, limit.scope, limit.name, limit.paused, limit.max_running, limit.rate, limit.rate_period_s
        )
        await driver.execute(WAKE)


async def drop_limit(database: Database, scope: str, name: str) -> bool:
    """Remove a limit and wake the workers; False when there was none."""
    async with database.driver() as driver, driver.transaction():
        await driver.execute(WAKE)
        return bool(await driver.fetchval(DROP, scope, name))


async def pause_claims(database: Database, *, kind: str | None, paused: bool) -> None:
    """Stop or start claiming, of one kind or (None) of all. What runs, runs on."""
    scope, name = ("all", "") if kind is None else ("kind", kind)
    async with database.driver() as driver:
        await driver.execute(PAUSE, scope, name, paused)
