"""What is in the queue, and who works on it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gristmill.db.engine import Database

# Rows that are not final, through the indexes that hold no others.
DEPTH = """
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
GROUP BY kind ORDER BY kind
"""

WORKERS = """
SELECT id, host, pid, slots, version, started_at, heartbeat_at FROM workers ORDER BY started_at, id LIMIT 1000
"""

# Through the index that holds running jobs alone.
RUNNING = """
SELECT worker_id, kind, attempt, started_at FROM jobs WHERE status = 'running' ORDER BY started_at, id
"""

# By minutes of the database's clock, the one that is not over yet as the last. The index is by ranges of pages, so this
# reads about as many rows as became final in the time.
FINISHED = """
SELECT date_trunc('minute', finished_at) AS at, kind,
    count(*) FILTER (WHERE status = 'completed')::int AS completed,
    count(*) FILTER (WHERE status = 'failed')::int AS failed,
    count(*) FILTER (WHERE status = 'canceled')::int AS canceled
FROM jobs WHERE finished_at > date_trunc('minute', now()) - $1 * interval '1 minute'
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class KindDepth:
    """Jobs of a kind that are not final. `oldest_wait_s`: how long the oldest due one has been due."""

    kind: str
    due: int
    delayed: int
    blocked: int
    running: int
    oldest_wait_s: float | None


@dataclass(frozen=True)
class WorkerRow:
    id: UUID
    host: str
    pid: int
    slots: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    runs: Sequence["Running"]


@dataclass(frozen=True)
class Running:
    """What a worker runs, without whose it is."""

    kind: str
    attempt: int
    started_at: datetime


@dataclass(frozen=True)
class Minute:
    """How many jobs of a kind became final in the minute that begins `at`."""

    at: datetime
    kind: str
    completed: int
    failed: int
    canceled: int


async def queue_depth(database: Database) -> list[KindDepth]:
    async with database.driver() as driver:
        return [KindDepth(**record) for record in await driver.fetch(DEPTH)]


async def list_workers(database: Database) -> list[WorkerRow]:
    async with database.driver() as driver:
        workers, running = await driver.fetch(WORKERS), await driver.fetch(RUNNING)
    runs: dict[UUID, list[Running]] = defaultdict(list)
    for record in running:
        runs[record["worker_id"]].append(Running(record["kind"], record["attempt"], record["started_at"]))
    return [WorkerRow(**record, runs=runs[record["id"]]) for record in workers]


async def finished_by_minute(database: Database, *, minutes: int) -> list[Minute]:
    """The last `minutes` minutes and the one under way, oldest first. Jobs that were removed since are not in it."""
    async with database.driver() as driver:
        return [Minute(**record) for record in await driver.fetch(FINISHED, minutes)]
