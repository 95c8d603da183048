"""Promise: a page of a filtered list reads little of a long list, wherever in it the page is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gristmill.db.engine import Database
from gristmill.db.filters import Interval
from gristmill.db.jobs import list_jobs
from gristmill.domain.role import Role
from gristmill.settings import Settings
from tests.db.rows import new_dataset

MANY = 30_000

# One job in ten seconds, each over at once, the last one now.
FILL = """
INSERT INTO jobs (id, owner, kind, kind_version, dataset_id, params, labels, status, created_at, finished_at)
SELECT uuidv7(make_interval(secs => 10 * (n - $2::int))), 'ann', 'metrics', 1, $1, '{}',
    CASE WHEN n % 3000 = 0 THEN '{"rare": "yes"}' ELSE '{}' END::jsonb, 'canceled',
    now() + make_interval(secs => 10 * (n - $2::int)), now() + make_interval(secs => 10 * (n - $2::int))
FROM generate_series(1, $2::int) AS n
"""
READ = """
SELECT heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0) FROM pg_statio_user_tables
WHERE relname = 'jobs'
"""


async def read(database: Database) -> int:
    """Pages of the table and its indexes that were read so far. The pool lends the connection that was used last."""
    async with database.driver() as driver:
        await driver.execute("SELECT pg_stat_force_next_flush()")
        return int(await driver.fetchval(READ))


@pytest.mark.parametrize("role", [None, Role.API])
async def test_a_page_reads_little_of_a_long_list(settings: Settings, database: Database, role: Role | None) -> None:
    dataset = await new_dataset(database)
    async with database.driver() as driver:
        await driver.execute(FILL, dataset, MANY)
        await driver.execute("VACUUM ANALYZE jobs")
        pages = await driver.fetchval("SELECT relpages FROM pg_class WHERE relname = 'jobs'")
    now = datetime.now(UTC)
    old = Interval(now - timedelta(hours=50), now - timedelta(hours=49))
    queries: list[tuple[dict[str, Any], int]] = [
        ({"labels": {"rare": "yes"}}, 10),
        ({"labels": {"rare": None}}, 10),
        ({"labels": {"rare": "no"}}, 0),
        ({"created": old}, 20),
        ({"finished": old}, 20),
        ({"finished": Interval(now + timedelta(hours=1))}, 0),
    ]
    async with Database.open(settings, role=role) as opened:
        reader = opened.of("ann")
        for query, found in queries:
            before = await read(reader)
            assert len(await list_jobs(reader, owner="ann", limit=20, **query)) == found, query
            cost = await read(reader) - before
            assert cost < pages / 4, f"{query}: {cost} pages, where the table has {pages}"
