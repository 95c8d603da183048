"""Promise: a key may ask so often and no more, an owner may have so much and no more, and is told so in time."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from gristmill.api.limits import Quotas, Rates
from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.db.quotas import pending_jobs, stored_bytes
from gristmill.domain.key import Scope, make_key
from gristmill.errors import TooManyPending
from gristmill.settings import Settings
from tests.api.serving import serving

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_lets_its_burst_through_and_fills_at_its_rate() -> None:
    clock = Clock()
    rates = Rates(per_s=2, burst=4, clock=clock)
    told = [rates.take("a") for _ in range(4)]
    assert [refusal for _, refusal in told] == [None] * 4
    assert told[0][0] == {"RateLimit-Policy": '"requests";q=4;w=2', "RateLimit": '"requests";r=3;t=1'}
    headers, refusal = rates.take("a")
    assert headers["RateLimit"] == '"requests";r=0;t=2'
    assert refusal is not None
    assert refusal.retry_after_s == 1
    assert rates.take("b")[1] is None, "a key of its own has a bucket of its own"
    clock.now += 0.5
    assert rates.take("a")[1] is None
    assert rates.take("a")[1] is not None, "half a second is one request"
    clock.now += 3600
    assert [rates.take("a")[1] is None for _ in range(5)] == [True] * 4 + [False], "an hour saves up no more than fits"


def test_without_a_rate_nobody_is_limited() -> None:
    rates = Rates(per_s=0, burst=1)
    assert [rates.take("a") for _ in range(3)] == [({}, None)] * 3


async def insert_jobs(database: Database, owner: str, jobs: int, *, blocked: int = 0) -> None:
    dataset = uuid4()
    async with database.driver() as driver:
        await driver.execute(
            "INSERT INTO datasets (id, owner, name, format, original_key, media_type, size_bytes, sha256)"
            " VALUES ($1, $2, '', 'csv', '', '', 40, repeat('0', 64))",
            dataset,
            owner,
        )
        await driver.execute(
            "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, blocked, waits_for)"
            " SELECT $1, 'metrics', 1, $2, '{}', n <= $4, CASE WHEN n <= $4 THEN $2::uuid END"
            " FROM generate_series(1, $3::int) AS n",
            owner,
            dataset,
            jobs,
            blocked,
        )


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_pending_jobs": 20, "max_owner_bytes": 100})


async def test_jobs_that_wait_are_counted_of_one_owner_blocked_ones_too(database: Database) -> None:
    ann, bob = f"ann-{uuid4()}", f"bob-{uuid4()}"
    await insert_jobs(database, ann, 7, blocked=3)
    await insert_jobs(database, bob, 5)
    assert await pending_jobs(database, owner=ann, limit=100) == 7
    assert await pending_jobs(database, owner=ann, limit=3) >= 3
    assert (await stored_bytes(database, owner=ann), await stored_bytes(database, owner="nobody")) == (40, 0)


async def test_a_grant_is_a_tenth_of_what_is_free_and_is_counted_again(database: Database, limited: Settings) -> None:
    owner, clock = f"ann-{uuid4()}", Clock()
    quotas = Quotas(limited, database, clock=clock)
    await quotas.take_jobs(owner=owner)
    await insert_jobs(database, owner, 20)
    await quotas.take_jobs(owner=owner)  # of the grant of two
    with pytest.raises(TooManyPending) as refused:
        await quotas.take_jobs(owner=owner)
    assert refused.value.retry_after_s
    await quotas.take_jobs(20, owner=f"bob-{uuid4()}")
    with pytest.raises(TooManyPending):
        await quotas.take_jobs(21, owner=f"bob-{uuid4()}")
    late = f"carl-{uuid4()}"
    await quotas.take_jobs(owner=late)
    await insert_jobs(database, late, 20)
    clock.now += 60
    with pytest.raises(TooManyPending):
        await quotas.take_jobs(owner=late)


async def test_each_limit_answers_with_a_problem_of_its_own(
    module_environment: dict[str, str], database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over HTTP: the headers, the problems, and that one key's haste is not another's."""
    strict = {"RATE_LIMIT_PER_S": "0.05", "RATE_LIMIT_BURST": "6", "MAX_PENDING_JOBS": "2", "MAX_OWNER_BYTES": "100"}
    token, key = make_key(f"ann-{uuid4()}", [Scope.READ, Scope.WRITE])
    other, spare = make_key(key.owner, [Scope.READ])
    for kept in (key, spare):
        await add_key(database, kept)
    with serving({**module_environment, **strict}, tmp_path_factory.mktemp("limits") / "log") as served:
        async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as client:
            csv = {"Content-Type": "text/csv"}
            made = await client.post("/datasets", content=CSV, headers=csv)
            assert made.status_code == 201
            assert made.headers["RateLimit-Policy"] == '"requests";q=6;w=120'
            assert made.headers["RateLimit"].startswith('"requests";r=5;t=')
            full = await client.post("/datasets", content=CSV * 2, headers=csv)
            assert (full.status_code, full.json()["type"]) == (413, "urn:gristmill:problem:storage-quota")
            job = {"kind": "metrics", "dataset_id": made.json()["id"], "reuse": "none"}
            many = await client.post("/jobs:batch", json={"jobs": [job, job]})
            assert (many.status_code, many.json()["type"]) == (429, "urn:gristmill:problem:too-many-pending-jobs")
            assert many.headers["Retry-After"]
            assert (await client.post("/jobs", json=job)).status_code == 202
            answers = await asyncio.gather(*[client.get("/jobs") for _ in range(3)])
            assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
            hasty = next(answer for answer in answers if answer.status_code == 429)
            assert hasty.json()["type"] == "urn:gristmill:problem:rate-limited"
            assert 1 <= int(hasty.headers["Retry-After"]) <= 20
            assert hasty.headers["RateLimit"].startswith('"requests";r=0;')
            calm = await client.get("/jobs", headers={"Authorization": f"Bearer {other}"})
            assert calm.status_code == 200
            assert (await client.get("/health/live")).status_code == 200
