"""Many jobs in one statement.

What the database would decide about each (its id, whether it waits, when it is due) is decided here, from one look at
the datasets: a row then costs the server its indexes and little else, and nothing has to come back.
"""

import os
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

import msgspec
from asyncpg.pgproto import pgproto

from gristmill.db.engine import Driver
from gristmill.db.rows import JobRow, NewJob, new_row, sources_of
from gristmill.domain.dataset import DatasetStatus

# Locked until we commit, so that an ingest can't settle between our look and our insert.
LOOK = """
SELECT id, status, uuidv7() AS seed, now() AS at FROM datasets
WHERE owner = $1 AND id = ANY ($2::uuid[]) AND status IN ('validating', 'ready') ORDER BY id FOR SHARE
"""

# What a job is given, and its type. Of many jobs most of it is the same: that is given once.
GIVEN = {
    "id": "uuid",
    "dataset_id": "uuid",
    "input_job_id": "uuid",
    "kind": "text",
    "kind_version": "smallint",
    "params": "text",
    "labels": "text",
    "priority": "smallint",
    "limit_key": "text",
    "scheduled_at": "timestamptz",
    "max_attempts": "smallint",
    "timeout_s": "int",
    "webhook_id": "uuid",
    "sources": "text",
    "traceparent": "text",
    "waits_for": "uuid",
}

INSERT = """
WITH given AS MATERIALIZED (
    SELECT {given} FROM unnest({arrays}) AS varying ({varying})
), added AS (
    INSERT INTO jobs (id, owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, webhook_id, sources, traceparent, waits_for, blocked)
    SELECT id, $1, dataset_id, input_job_id, kind, kind_version, params::jsonb, labels::jsonb, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, webhook_id, sources::jsonb, traceparent, waits_for,
        waits_for IS NOT NULL
    FROM given
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', $2) WHERE $2::text IS NOT NULL
)
INSERT INTO job_events (job_id, owner, type, attempt)
SELECT id, $1, 'created', 0 FROM given LEFT JOIN woken ON true
"""

# The random part of a version 7 UUID after its variant, and what of it counts the rows of one statement.
TAIL_BITS, PLACE_BITS = 62, 20


async def insert_many(driver: Driver, jobs: Sequence[NewJob], waits_for: Collection[UUID]) -> list[JobRow | None]:
    """Add jobs of one owner, in the caller's transaction. None: no such dataset of this owner, or it failed.

    Jobs with an `input_job_id` among `waits_for` wait for it.
    """
    owner = jobs[0].owner
    found = await driver.fetch(LOOK, owner, list({job.dataset_id for job in jobs}))
    if not found:
        return [None] * len(jobs)
    seed, at = found[0]["seed"], found[0]["at"]
    validating = {record["id"]: record["status"] == DatasetStatus.VALIDATING for record in found}
    rows: list[JobRow | None] = []
    for job, identity in zip(jobs, new_ids(seed, len(jobs)), strict=True):
        blocked = validating.get(job.dataset_id)
        if blocked is None:
            rows.append(None)
            continue
        awaited = job.input_job_id if job.input_job_id in waits_for else job.dataset_id if blocked else None
        rows.append(new_row(job, identity, waits_for=awaited, scheduled_at=job.scheduled_at or at, created_at=at))
    added = [(row, job) for row, job in zip(rows, jobs, strict=True) if row is not None]
    statement, arguments = _statement(added)
    await driver.execute(statement, owner, _woken([row for row, _ in added], at), *arguments)
    return rows


def new_ids(seed: UUID, number: int) -> list[UUID]:
    """Version 7 UUIDs of the moment of `seed`, in order: counted after its time, then random (RFC 9562, 6.2, method 1).

    PostgreSQL draws random bytes for each one by itself, which costs it as much as two indexes.
    """
    moment = seed.int >> TAIL_BITS << TAIL_BITS
    random_bits = TAIL_BITS - PLACE_BITS
    mask = (1 << random_bits) - 1
    drawn = os.urandom(8 * number)
    return [
        pgproto.UUID(
            (moment | place << random_bits | int.from_bytes(drawn[8 * place : 8 * place + 8]) & mask).to_bytes(16)
        )
        for place in range(number)
    ]


def _statement(added: Sequence[tuple[JobRow, NewJob]]) -> tuple[str, list[object]]:
    """The statement for these jobs, and its arguments: arrays of what varies, single values of what does not."""
    values = [
        (
            row.id,
            job.dataset_id,
            job.input_job_id,
            job.kind,
            job.kind_version,
            job.params.decode(),
            job.labels.decode(),
            job.priority,
            job.limit_key,
            row.scheduled_at,
            job.max_attempts,
            job.timeout_s,
            job.webhook_id,
            sources_of(job),
            job.traceparent,
            row.waits_for,
        )
        for row, job in added
    ]
    columns = dict(zip(GIVEN, zip(*values, strict=True), strict=True))
    # The statement is prepared once for each set of names; params nearly always vary.
    varying = tuple(name for name, column in columns.items() if name in ("id", "params") or len(set(column)) > 1)
    return _sql(varying), [list(column) if name in varying else column[0] for name, column in columns.items()]


@cache
def _sql(varying: tuple[str, ...]) -> str:
    number = {name: f"${n}" for n, name in enumerate(GIVEN, 3)}
    single = {name: f"{number[name]}::{GIVEN[name]} AS {name}" for name in GIVEN if name not in varying}
    return INSERT.format(
        given=", ".join(single.get(name, name) for name in GIVEN),
        arrays=", ".join(f"{number[name]}::{GIVEN[name]}[]" for name in varying),
        varying=", ".join(varying),
    )


def _woken(rows: Sequence[JobRow], at: datetime) -> str | None:
    """What the wake-up says: the one lane that has something to do, nothing where there are more; None: no wake-up."""
    lanes = {
        (row.priority, row.kind, row.owner, row.limit_key) for row in rows if not row.blocked and row.scheduled_at <= at
    }
    if not lanes:
        return None
    return msgspec.json.encode(lanes.pop()).decode() if len(lanes) == 1 else ""
