"""Statements on schedules. Those that users cause are bounded by owner; firing is the workers' own."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Database, Driver
from gristmill.db.enqueue import insert_jobs
from gristmill.db.models import Schedule
from gristmill.db.rows import NewJob, raw
from gristmill.domain.schedule import MissedPolicy, due_times
from gristmill.errors import DatasetFailed, Problem

# Whoever has a row's lock fires it; the others skip it, and find it in the future afterwards.
DUE = """
SELECT id, owner, cron, time_zone, missed, dataset_id, kind, kind_version, params, labels, priority, limit_key,
    max_attempts, timeout_s, webhook_id, next_at, now() AS now
FROM schedules WHERE NOT paused AND next_at <= now()
ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""

FIRED = """
UPDATE schedules SET next_at = $2, last_at = coalesce($3, last_at), last_job_id = coalesce($4, last_job_id),
    last_error = $5::jsonb, updated_at = now()
WHERE id = $1
"""

NOW = "SELECT now()"

# A time that is so long ago was missed; workers look every second.
LATE_S = 60.0


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    owner: str
    name: str
    cron: str
    time_zone: str
    missed: MissedPolicy
    paused: bool
    dataset_id: UUID
    kind: str
    kind_version: int
    params: msgspec.Raw
    labels: dict[str, str]
    priority: int
    limit_key: str
    max_attempts: int
    timeout_s: int
    webhook_id: UUID | None
    next_at: datetime
    last_at: datetime | None
    last_job_id: UUID | None
    last_error: Problem | None
    created_at: datetime
    updated_at: datetime


COLUMNS = tuple(Schedule.__table__.columns[name] for name in ScheduleRow.__struct_fields__)


async def database_time(database: Database) -> datetime:
    async with database.driver() as driver:
        moment: datetime = await driver.fetchval(NOW)
        return moment


async def create_schedule(database: Database, values: dict[str, Any]) -> ScheduleRow:
    """Add a schedule; `values` by column, JSON as text."""
    async with database.session() as session:
        return await insert_schedule(session, values)


async def insert_schedule(session: AsyncConnection, values: dict[str, Any]) -> ScheduleRow:
    """The same, in the caller's transaction."""
    statement = insert(Schedule).values(values).returning(*COLUMNS)
    return _row((await session.execute(statement)).mappings().one())


async def get_schedule(database: Database, schedule_id: UUID, *, owner: str) -> ScheduleRow | None:
    statement = select(*COLUMNS).where(Schedule.id == schedule_id, Schedule.owner == owner)
    async with database.session() as session:
        record = (await session.execute(statement)).mappings().one_or_none()
    return None if record is None else _row(record)


async def list_schedules(
    database: Database, *, owner: str, limit: int, before: UUID | None = None
) -> list[ScheduleRow]:
    """A page of an owner's schedules, newest first, below `before`."""
    statement = select(*COLUMNS).where(Schedule.owner == owner).order_by(Schedule.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Schedule.id < before)
    async with database.session() as session:
        return [_row(record) for record in (await session.execute(statement)).mappings().all()]


async def change_schedule(
    database: Database, schedule_id: UUID, values: dict[str, Any], *, owner: str
) -> ScheduleRow | None:
    """Change columns of a schedule; None: there is no such one of this owner."""
    statement = (
        update(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner).values(values).returning(*COLUMNS)
    )
    async with database.session() as session:
        record = (await session.execute(statement)).mappings().one_or_none()
    return None if record is None else _row(record)


async def drop_schedule(database: Database, schedule_id: UUID, *, owner: str) -> bool:
    statement = delete(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    async with database.session() as session:
        return bool((await session.execute(statement.returning(Schedule.id))).first())


async def fire_schedules(database: Database, *, limit: int = 20) -> int:
    """Make the jobs of up to `limit` due schedules, each time once, whoever else does the same. Answers how many jobs.

    Jobs, their first events and the schedules' next times are committed together.
    """
    async with database.driver() as driver, driver.transaction():
        return sum([await _fire(driver, record) for record in await driver.fetch(DUE, limit)])


async def _fire(driver: Driver, schedule: Any) -> int:
    due, next_at = due_times(
        schedule["cron"],
        schedule["time_zone"],
        next_at=schedule["next_at"],
        now=schedule["now"],
        late_s=LATE_S,
        missed=MissedPolicy(schedule["missed"]),
    )
    rows = await insert_jobs(driver, [_job(schedule)] * len(due)) if due else []
    made = [row for row in rows if row is not None]
    error = None
    if len(made) < len(rows):
        failed = DatasetFailed("The schedule's dataset could not be made ready").problem()
        error = msgspec.json.encode(failed).decode()
    last_job = made[-1].id if made else None
    await driver.execute(FIRED, schedule["id"], next_at, due[-1] if due else None, last_job, error)
    return len(made)


def _job(schedule: Any) -> NewJob:
    # A run that is asked for again and again is to be a run: its result is not taken from the one before.
    return NewJob(
        owner=schedule["owner"],
        dataset_id=schedule["dataset_id"],
        kind=schedule["kind"],
        kind_version=schedule["kind_version"],
        params=schedule["params"].encode(),
        labels=schedule["labels"].encode(),
        priority=schedule["priority"],
        limit_key=schedule["limit_key"],
        max_attempts=schedule["max_attempts"],
        timeout_s=schedule["timeout_s"],
        webhook_id=schedule["webhook_id"],
    )


def _row(record: Any) -> ScheduleRow:
    values = dict(record)
    values["missed"] = MissedPolicy(values["missed"])
    values["params"] = raw(values["params"])
    values["labels"] = msgspec.json.decode(values["labels"], type=dict[str, str])
    if values["last_error"] is not None:
        values["last_error"] = msgspec.json.decode(values["last_error"], type=Problem)
    return ScheduleRow(**values)
