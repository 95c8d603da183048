"""Promise: with PostgreSQL or S3 down the API says so, keeps nothing by halves, and goes on by itself afterwards."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from gristmill.db.engine import Database
from tests.api.serving import PATIENCE_S, Served, serving, until
from tests.proxy import FaultProxy

FILE = {"file": ("a.csv", b"a\n1\n")}
IDLE_S = 0.5


@dataclass(frozen=True)
class Behind:
    """A server whose ways to PostgreSQL and to S3 can be cut."""

    served: Served
    postgres: FaultProxy
    s3: FaultProxy


@pytest.fixture(scope="module")
async def behind(module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    """PostgreSQL is down when the server starts."""
    s3 = urlsplit(module_environment["S3_ENDPOINT_URL"])
    host, port = module_environment["POSTGRES_HOST"], int(module_environment["POSTGRES_PORT"])
    async with FaultProxy.to(host, port) as postgres, FaultProxy.to(s3.hostname or "", s3.port or 0) as store:
        await postgres.refuse()
        environment = {
            **module_environment,
            "POSTGRES_HOST": postgres.host,
            "POSTGRES_PORT": str(postgres.port),
            "POSTGRES_DEADLINE_S": "2",
            "S3_ENDPOINT_URL": store.url,
            "S3_DEADLINE_S": "2",
            "UPLOAD_IDLE_S": str(IDLE_S),
        }
        # The proxies live on this loop, so it must not wait for the server.
        running = serving(environment, tmp_path_factory.mktemp("faults") / "log")
        served = await asyncio.to_thread(running.__enter__)
        yield Behind(served, postgres, store)
        await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture
async def client(behind: Behind) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=behind.served.url, timeout=60) as opened:
        yield opened
    assert "api.request_failed" not in behind.served.logged()


async def test_it_starts_without_postgresql_and_recovers(client: httpx.AsyncClient, behind: Behind) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/docs")).status_code == 200
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["type"]) == (503, "urn:gristmill:problem:not-ready")
    assert [fault["pointer"] for fault in ready.json()["errors"]] == ["/database"]
    for answer in (
        await client.get("/jobs"),
        await client.post("/jobs", json={"kind": "metrics", "dataset_id": "01900000-0000-7000-8000-000000000000"}),
        await client.post("/datasets", files=FILE),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:gristmill:problem:database-unavailable")
        assert answer.headers["Retry-After"]
        assert "SELECT" not in answer.text
    await behind.postgres.accept()
    await until(lambda: answers(client, "/health/ready", 200))
    assert (await client.post("/datasets", files=FILE)).status_code == 201


async def test_it_survives_the_loss_of_postgresql(client: httpx.AsyncClient, behind: Behind) -> None:
    assert (await client.get("/jobs")).status_code == 200
    await behind.postgres.refuse()
    assert (await client.get("/jobs")).status_code == 503
    await behind.postgres.accept()
    await until(lambda: answers(client, "/jobs", 200))


async def test_it_survives_a_frozen_postgresql(client: httpx.AsyncClient, behind: Behind) -> None:
    assert (await client.get("/jobs")).status_code == 200
    behind.postgres.freeze()
    assert (await client.get("/jobs")).status_code == 503
    behind.postgres.thaw()
    await until(lambda: answers(client, "/jobs", 200))


async def test_without_s3_nothing_becomes_a_dataset(
    client: httpx.AsyncClient, behind: Behind, database: Database
) -> None:
    before = await count(database, "datasets")
    await behind.s3.refuse()
    ready = await client.get("/health/ready")
    assert [fault["pointer"] for fault in ready.json()["errors"]] == ["/object_store"]
    small = await client.post("/datasets", files=FILE)
    large = await client.post("/datasets", content=b"1,2\n" * 5_000_000, headers={"Content-Type": "text/csv"})
    for answer in (small, large):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:gristmill:problem:store-unavailable")
    assert await count(database, "datasets") == before
    await behind.s3.accept()
    await until(lambda: answers(client, "/health/ready", 200))
    assert (await client.post("/datasets", files=FILE)).status_code == 201


async def test_a_store_that_freezes_in_mid_upload_is_a_problem_in_time(
    client: httpx.AsyncClient, behind: Behind, database: Database
) -> None:
    before = await count(database, "datasets")

    async def body() -> AsyncIterator[bytes]:
        yield b"1,2\n" * 2_500_000
        behind.s3.freeze()
        yield b"1,2\n" * 2_500_000

    answer = await client.post("/datasets", content=body(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 503, answer.text
    assert await count(database, "datasets") == before
    behind.s3.thaw()
    await until(lambda: answers(client, "/health/ready", 200))


async def test_an_upload_that_pauses_too_long_is_dropped(behind: Behind, database: Database) -> None:
    before = await count(database, "uploads")
    reader, writer = await asyncio.open_connection("127.0.0.1", behind.served.port)
    writer.write(
        b"POST /datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\na\n1\n"
    )
    async with asyncio.timeout(PATIENCE_S):
        assert b"408" in await reader.readline()
    writer.transport.abort()
    assert behind.served.logged().count('"reason": "upload-stalled"') == 1
    assert await count(database, "uploads") == before


async def test_a_schema_of_another_version_is_named(client: httpx.AsyncClient, database: Database) -> None:
    async with database.driver() as driver:
        head = await driver.fetchval("SELECT version_num FROM alembic_version")
        await driver.execute("UPDATE alembic_version SET version_num = 'older'")
        try:
            answer = await client.get("/health/ready")
        finally:
            await driver.execute("UPDATE alembic_version SET version_num = $1", head)
    assert answer.status_code == 503
    (missing,) = answer.json()["errors"]
    assert missing["pointer"] == "/database"
    assert "gristmill migrate" in missing["detail"]


async def test_a_table_that_is_missing_is_no_defect(client: httpx.AsyncClient, database: Database) -> None:
    async with database.driver() as driver:
        await driver.execute("ALTER TABLE jobs RENAME TO elsewhere")
        try:
            found = [await client.get(path) for path in ("/jobs", "/jobs/01900000-0000-7000-8000-000000000000")]
        finally:
            await driver.execute("ALTER TABLE elsewhere RENAME TO jobs")
    for answer in found:
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:gristmill:problem:not-ready")
        assert "gristmill migrate" in answer.json()["detail"]


async def test_a_bucket_that_is_missing_is_named(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    environment = {**module_environment, "S3_JOB_RESULTS_BUCKET": "nowhere"}
    with serving(environment, tmp_path_factory.mktemp("bucket") / "log") as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/object_store"]


async def answers(client: httpx.AsyncClient, path: str, status: int) -> bool:
    return (await client.get(path)).status_code == status


async def count(database: Database, table: str) -> int:
    async with database.driver() as driver:
        return int(await driver.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names
