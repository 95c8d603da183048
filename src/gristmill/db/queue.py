"""What is in the queue, and who works on it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gristmill.db.engine import Database
from gristmill.db.questions import Question


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
    return [KindDepth(**record) for record in await database.ask(Question.QUEUE_DEPTH)]


async def list_workers(database: Database) -> list[WorkerRow]:
    workers, running = await database.ask(Question.WORKERS), await database.ask(Question.RUNNING_JOBS)
    runs: dict[UUID, list[Running]] = defaultdict(list)
    for record in running:
        runs[record["worker_id"]].append(Running(record["kind"], record["attempt"], record["started_at"]))
    return [WorkerRow(**record, runs=runs[record["id"]]) for record in workers]


async def count_slots(database: Database) -> dict[str, tuple[int, int]]:
    """Version → how many workers of it were heard of lately, and how many jobs they could run at once."""
    return {version: (workers, slots) for version, workers, slots in await database.ask(Question.WORKER_SLOTS)}


async def finished_by_minute(database: Database, *, minutes: int) -> list[Minute]:
    """The last `minutes` minutes and the one under way, oldest first. Jobs that were removed since are not in it."""
    return [Minute(**record) for record in await database.ask(Question.FINISHED_JOBS, minutes)]
