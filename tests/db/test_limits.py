"""Owners take turns, and no limit is ever exceeded, however many claim at once."""

import asyncio
from uuid import UUID, uuid4

import pytest

from gristmill.db import limits
from gristmill.db.claims import PAGE, Claimer
from gristmill.db.engine import Database
from gristmill.db.limits import Limit
from gristmill.domain.job import Claim
from gristmill.domain.sharing import Lane
from tests.db.rows import claim, enqueued, new_dataset, record

LIMITS = [
    (Limit("kind", "metrics", max_running=3), {}),
    (Limit("owner", "ann", max_running=3), {}),
    (Limit("key", "warehouse", max_running=3), {"limit_key": "warehouse"}),
    (Limit("all", "", max_running=3), {}),
]


@pytest.fixture
async def dataset_id(database: Database) -> UUID:
    return await new_dataset(database)


async def crowd(database: Database, dataset_id: UUID, owner: str, jobs: int) -> None:
    async with database.driver() as driver:
        await driver.execute(
            "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params)"
            " SELECT $1, 'metrics', 1, $2, '{}' FROM generate_series(1, $3)",
            owner,
            dataset_id,
            jobs,
        )


async def test_one_job_is_not_starved_by_another_owners_thousand(database: Database, dataset_id: UUID) -> None:
    await crowd(database, dataset_id, "ann", 1000)
    await crowd(database, dataset_id, "bob", 1)
    claimer = Claimer(database, uuid4(), lease_s=60)
    first = [*await claimer.claim(1), *await claimer.claim(1)]
    assert {job.owner for job in first} == {"ann", "bob"}


async def test_all_owners_are_served_in_turn_even_past_a_page_of_lanes(database: Database, dataset_id: UUID) -> None:
    owners = PAGE * 2 + 10
    async with database.driver() as driver:
        await driver.execute(
            "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params)"
            " SELECT 'owner-' || o, 'metrics', 1, $1, '{}' FROM generate_series(1, $2) AS o, generate_series(1, 5)",
            dataset_id,
            owners,
        )
    claimer = Claimer(database, uuid4(), lease_s=60)
    served: set[str] = set()
    rounds = 0
    while len(served) < owners:
        served |= {job.owner for job in await claimer.claim(50)}
        rounds += 1
        assert rounds <= 4 * owners / 50, "nobody waits much longer than all others together"


async def test_slots_that_a_lane_can_not_use_go_to_the_others(database: Database, dataset_id: UUID) -> None:
    await crowd(database, dataset_id, "ann", 30)
    await crowd(database, dataset_id, "bob", 2)
    await crowd(database, dataset_id, "cid", 1)
    assert len(await claim(database, 33)) == 33


@pytest.mark.parametrize(("limit", "given"), LIMITS, ids=[limit.scope for limit, _ in LIMITS])
async def test_no_more_run_than_a_limit_says(
    database: Database, dataset_id: UUID, limit: Limit, given: dict[str, str]
) -> None:
    await limits.set_limit(database, limit)
    for _ in range(12):
        await enqueued(database, dataset_id, **given)
    most = 0
    done: list[Claim] = []

    async def claimer() -> None:
        nonlocal most
        while len(done) < 12:
            mine = await claim(database, 5)
            async with database.driver() as driver:
                most = max(most, await driver.fetchval("SELECT count(*) FROM jobs WHERE status = 'running'"))
            for job in mine:
                await record(database, job)
                done.append(job)

    async with asyncio.timeout(60):
        await asyncio.gather(*(claimer() for _ in range(20)))
    assert len({job.id for job in done}) == 12
    assert 1 <= most <= 3


async def test_a_limited_kind_does_not_hold_up_another(database: Database, dataset_id: UUID) -> None:
    await limits.set_limit(database, Limit("kind", "metrics", max_running=1))
    for _ in range(3):
        await enqueued(database, dataset_id, priority=5)
    other = await enqueued(database, dataset_id, kind="normalize")
    assert [job.kind for job in await claim(database)] == ["metrics", "normalize"]
    assert await claim(database) == []
    assert other.priority == 0


async def test_a_rate_limit_counts_starts(database: Database, dataset_id: UUID) -> None:
    await limits.set_limit(database, Limit("kind", "metrics", rate=4, rate_period_s=3600))
    for _ in range(10):
        await enqueued(database, dataset_id)
    claimer = Claimer(database, uuid4(), lease_s=60)
    first = await claimer.claim(3)
    for job in first:
        await record(database, job)
    assert [len(first), len(await claimer.claim(10)), len(await claimer.claim(10))] == [3, 1, 0]
    assert claimer.next_due_s is not None
    assert 3000 < claimer.next_due_s <= 3600
    await limits.set_limit(database, Limit("kind", "metrics", rate=5, rate_period_s=3600))
    assert len(await claimer.claim(10)) == 1


async def test_a_paused_kind_is_not_claimed_and_its_lanes_cost_one_step(database: Database, dataset_id: UUID) -> None:
    for n in range(30):
        await crowd(database, dataset_id, f"owner-{n}", 1)
    await enqueued(database, dataset_id, kind="anomalies")
    await limits.pause_claims(database, kind="metrics", paused=True)
    assert [job.kind for job in await claim(database)] == ["anomalies"]
    await limits.pause_claims(database, kind=None, paused=True)
    await limits.pause_claims(database, kind="metrics", paused=False)
    assert await claim(database) == []
    await limits.pause_claims(database, kind=None, paused=False)
    assert len(await claim(database)) == 30


async def test_a_hint_claims_nothing_where_there_are_limits(database: Database, dataset_id: UUID) -> None:
    await enqueued(database, dataset_id)
    claimer = Claimer(database, uuid4(), lease_s=60)
    await limits.pause_claims(database, kind="metrics", paused=True)
    lane = Lane(0, "metrics", "ann", "")
    assert await claimer.claim_hinted(lane, 5) == []
    assert await limits.drop_limit(database, "kind", "metrics")
    assert not await limits.drop_limit(database, "kind", "metrics")
    assert len(await claimer.claim_hinted(lane, 5)) == 1
