"""What a claim, a heartbeat and a completion read does not grow with finished, delayed, blocked or running rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from gristmill.db import claims, outcomes
from gristmill.db.claims import PAGE, TOP
from gristmill.db.engine import Database
from gristmill.domain.role import Role
from tests.db.rows import new_dataset

FINISHED = 1_000_000
DELAYED = 100_000
WAITING = 100_000
BATCH = 100

# Half of those that wait are blocked; the others are spread over kinds, owners and priorities.
FILL = """
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, status, attempt, finished_at, manifest)
SELECT 'ann', 'metrics', 1, $1::uuid, '{}', 'completed', 1, now(), '{}' FROM generate_series(1, $2::int)
"""
FILL_DELAYED = """
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, priority, scheduled_at)
SELECT 'owner-' || n % 7, 'metrics', 1, $1::uuid, '{}', n % 5, now() + interval '1 day'
FROM generate_series(1, $2::int) AS n
"""
FILL_WAITING = """
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, priority, blocked, waits_for)
SELECT 'owner-' || n % 7, CASE n % 2 WHEN 0 THEN 'metrics' ELSE 'normalize' END, 1, $1::uuid, '{}', n % 5,
    n % 4 < 2, CASE WHEN n % 4 < 2 THEN $1::uuid END
FROM generate_series(1, $2::int) AS n
"""


@dataclass(frozen=True)
class Plan:
    """A statement's plan as it was run."""

    nodes: tuple[dict[str, Any], ...]

    @property
    def read(self) -> int:
        """Rows of `jobs` that were looked at, those a filter dropped included."""
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
            if node.get("Relation Name") == "jobs" and "Scan" in node["Node Type"]
        )

    @property
    def pages(self) -> int:
        """Pages that were looked at where rows to claim are looked for, dead rows and their index entries included."""
        return sum(
            node["Shared Hit Blocks"] + node["Shared Read Blocks"]
            for node in self.nodes
            if node.get("Index Name") == "ix_jobs_claim"
        )

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned_whole(self) -> bool:
        return any(node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "jobs" for node in self.nodes)


@pytest.fixture
async def dataset_id(database: Database) -> UUID:
    dataset_id = await new_dataset(database)
    async with database.driver(deadline_s=300) as driver:
        for statement, rows in ((FILL, FINISHED), (FILL_DELAYED, DELAYED), (FILL_WAITING, WAITING)):
            await driver.execute(statement, dataset_id, rows, timeout=300)
        await driver.execute("VACUUM (ANALYZE) jobs", timeout=300)
    return dataset_id


async def explain(database: Database, statement: str, *arguments: object) -> Plan:
    """The plan that a worker gets, in its role, after its first few claims: one for all arguments."""
    async with database.driver() as driver:
        await driver.execute(f"SET ROLE {Role.WORKER}")
        await driver.execute("SET plan_cache_mode = force_generic_plan")
        found = await driver.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
        await driver.execute("RESET plan_cache_mode")
        await driver.execute("RESET ROLE")
    return Plan(tuple(_nodes(json.loads(found)[0]["Plan"])))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


async def test_what_the_queue_reads_is_bounded_by_what_it_does(database: Database, dataset_id: UUID) -> None:
    worker = uuid4()
    survey = await explain(database, claims.SURVEY, *TOP, PAGE, [])
    # 5 priorities of 7 owners, with delayed rows of one kind and due ones of the other.
    assert survey.indexes == {"ix_jobs_claim"}
    assert survey.read <= PAGE

    lanes = [(priority, "normalize", f"owner-{owner}", "", 3) for priority in range(5) for owner in range(7)]
    many = await explain(database, claims.CLAIM, worker, 600.0, *map(list, zip(*lanes, strict=True)))
    one = await explain(database, claims.CLAIM_LANE, worker, 600.0, *lanes[0][:4], BATCH)
    hinted = await explain(database, claims.CLAIM_HINTED, worker, 600.0, *lanes[1][:4], BATCH)
    for plan, most in ((many, 3 * len(lanes)), (one, BATCH), (hinted, BATCH)):
        assert "ix_jobs_claim" in plan.indexes
        assert not plan.scanned_whole
        # Once in the claim's index, once by its id.
        assert plan.read <= 2 * most
    delayed = await explain(database, claims.CLAIM_LANE, worker, 600.0, 0, "metrics", "owner-0", "", 1000)
    assert delayed.read <= 2 * WAITING / 4 / 35 + 2, "delayed rows are not read, however many slots are free"

    async with database.driver() as driver:
        running = await driver.fetch("SELECT id, lease FROM jobs WHERE status = 'running'")
    assert len(running) > 2 * BATCH
    ids, leases = [row["id"] for row in running], [row["lease"] for row in running]
    beat = await explain(database, claims.HEARTBEAT, ids, leases, [None] * len(ids), 600.0)
    done = await explain(database, outcomes.COMPLETE, ids[:BATCH], leases[:BATCH], ["{}"] * BATCH)
    recorded = await explain(
        database,
        outcomes.RECORD,
        ids[:BATCH],
        leases[:BATCH],
        ["completed"] * BATCH,
        [None] * BATCH,
        [0.0] * BATCH,
        ["{}"] * BATCH,
    )
    for plan, most in ((beat, len(running)), (done, BATCH), (recorded, BATCH)):
        assert not plan.scanned_whole
        assert plan.read <= 2 * most
    expired = await explain(database, outcomes.EXPIRED, BATCH)
    assert expired.indexes == {"ix_jobs_running"}
    # The running rows, and where they were while they waited for their index entries to be cleaned away.
    assert expired.read <= 2 * len(running)
