"""What is in the queue, and who works on it."""

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
    running: int


async def queue_depth(database: Database) -> list[KindDepth]:
    return [KindDepth(**record) for record in await database.ask(Question.QUEUE_DEPTH)]


async def list_workers(database: Database) -> list[WorkerRow]:
    return [WorkerRow(**record) for record in await database.ask(Question.WORKERS)]


async def count_slots(database: Database) -> dict[str, tuple[int, int]]:
    """Version → how many workers of it were heard of lately, and how many jobs they could run at once."""
    return {version: (workers, slots) for version, workers, slots in await database.ask(Question.WORKER_SLOTS)}
