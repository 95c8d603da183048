"""Promise: the API tells of itself and of the queue in numbers, with bounded labels and at a bounded cost."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from prometheus_client import generate_latest

from gristmill import metrics
from gristmill.api import metrics as endpoint
from gristmill.api.metrics import QueueFigures
from gristmill.db.engine import Database
from gristmill.settings import Settings, load_settings
from tests.api.serving import free_port
from tests.db.rows import claim, enqueued, new_dataset
from tests.exposition import parsed


@pytest.fixture(autouse=True)
async def empty(database: Database) -> AsyncIterator[None]:
    yield
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, workers CASCADE")


@pytest.fixture
def no_gauges() -> Iterator[None]:
    yield
    for gauge in (metrics.QUEUE_JOBS, metrics.QUEUE_OLDEST, metrics.WORKERS, metrics.WORKER_SLOTS):
        gauge.clear()


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    answer = (await client.get("/metrics")).raise_for_status()
    assert answer.headers["Content-Type"].startswith("text/plain")
    return parsed(answer.text)


def queue() -> dict[str, float]:
    """What this process would tell of the queue."""
    found = parsed(generate_latest(metrics.REGISTRY).decode())
    return {name: value for name, value in found.items() if name.startswith(("gristmill_queue", "gristmill_workers"))}


async def test_requests_are_counted_by_operation_and_class(client: httpx.AsyncClient) -> None:
    before = await scraped(client)
    for path in ("/jobs", "/jobs", "/jobs?limit=nonsense", "/nothing/of/the/kind", "/jobs/no-id"):
        await client.get(path)
    await client.head("/jobs")
    after = await scraped(client)
    for operation, status, number in (
        ("listJobs", "2xx", 3),
        ("listJobs", "4xx", 1),
        ("none", "4xx", 2),
    ):
        name = f'gristmill_http_requests_total{{operation="{operation}",status="{status}"}}'
        assert after[name] - before.get(name, 0) == number, name
    assert not any("of/the/kind" in name or "no-id" in name for name in after)
    assert after["gristmill_event_loop_lag_seconds_count"] >= 0


@pytest.mark.usefixtures("no_gauges")
async def test_the_queue_is_looked_up_once_for_many_scrapes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await enqueued(database, await new_dataset(database))
    figures = QueueFigures(database)
    await figures.refresh()
    assert queue()['gristmill_queue_jobs{kind="metrics",state="due"}'] == 1
    assert queue()['gristmill_queue_oldest_wait_seconds{kind="metrics"}'] >= 0
    assert [value for name, value in queue().items() if name.startswith("gristmill_workers")] == [0]
    assert [job.id for job in await claim(database)] == [first.id]
    await figures.refresh()
    assert queue()['gristmill_queue_jobs{kind="metrics",state="due"}'] == 1, "within some seconds nobody looks again"
    monkeypatch.setattr(endpoint, "KEPT_S", 0.0)
    monkeypatch.setattr(endpoint, "SHARE", 0)
    figures = QueueFigures(database)
    await figures.refresh()
    assert queue()['gristmill_queue_jobs{kind="metrics",state="due"}'] == 0
    assert queue()['gristmill_queue_jobs{kind="metrics",state="running"}'] == 1
    async with database.driver() as driver:
        await driver.execute("TRUNCATE jobs CASCADE")
    await figures.refresh()
    assert not any("queue_jobs" in name for name in queue()), "a kind that has no jobs is told no more"


@pytest.mark.usefixtures("no_gauges")
async def test_without_postgresql_there_are_no_old_figures(database: Database, settings: Settings) -> None:
    await enqueued(database, await new_dataset(database))
    await QueueFigures(database).refresh()
    assert queue()
    nowhere = load_settings({**settings.environment(), "POSTGRES_PORT": str(free_port())}, env_file=None)
    async with Database.open(nowhere) as away:
        await QueueFigures(away).refresh()
    assert queue() == {}
    assert parsed(generate_latest(metrics.REGISTRY).decode())['gristmill_database_seconds_count{outcome="unavailable"}']
