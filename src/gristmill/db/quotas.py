"""Statements on how much of the system an owner takes."""

from gristmill.db.engine import Database

# Both halves read an index of jobs that are not final, never the finished ones, and no more than the limit.
WAITING = """
SELECT
    (SELECT count(*) FROM (SELECT FROM jobs WHERE status = 'pending' AND NOT blocked AND owner = $1 LIMIT $2) AS due)
    + (SELECT count(*) FROM (SELECT FROM jobs WHERE blocked AND owner = $1 LIMIT $2) AS held)
"""
STORED = "SELECT coalesce(sum(size_bytes), 0)::int8 FROM datasets WHERE owner = $1 AND deleted_at IS NULL"


async def pending_jobs(database: Database, *, owner: str, limit: int) -> int:
    """How many jobs of an owner wait; exact below `limit`."""
    async with database.driver() as driver:
        return int(await driver.fetchval(WAITING, owner, limit))


async def stored_bytes(database: Database, *, owner: str) -> int:
    """The bytes of an owner's datasets, as they were uploaded."""
    async with database.driver() as driver:
        return int(await driver.fetchval(STORED, owner))
