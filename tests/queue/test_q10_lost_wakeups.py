"""Q10: a lost wake-up costs at most one poll; without LISTEN all works behind a transaction-pooling proxy."""

from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.e2e.system import running_system
from tests.proxy import FaultProxy
from tests.queue.conftest import pooled
from tests.queue.history import violations
from tests.worker.rig import OWNER, Bench, numbers, running, until

PLAIN = """
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params) VALUES ($1, 'metrics', 1, $2, '{}') RETURNING id
"""


async def test_a_job_that_nobody_was_told_of_is_found_by_polling(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment, tmp_path, POLL_S="1"):
        dataset_id = await bench.dataset(numbers(10))
        await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        async with bench.database.driver() as driver:
            job_id = await driver.fetchval(PLAIN, OWNER, dataset_id)
        await bench.until_status(job_id, JobStatus.COMPLETED)


async def test_wake_ups_for_others_do_not_put_the_look_off(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    """A worker that hears of one lane all the time still looks at the others once in a poll interval."""
    async with running(environment, tmp_path, POLL_S="1"):
        dataset_id = await bench.dataset(numbers(10))
        await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        async with bench.database.driver(deadline_s=60) as driver:
            job_id = await driver.fetchval(PLAIN, OWNER, dataset_id)

            async def done() -> bool:
                await driver.execute('SELECT pg_notify(\'gristmill_jobs\', \'[0, "nothing", "nobody", ""]\')')
                return bool(await driver.fetchval("SELECT status = 'completed' FROM jobs WHERE id = $1", job_id))

            await until(done, "the job that nobody was told of is found all the same")


async def test_a_listen_that_has_gone_silent_is_made_up_for(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    async with FaultProxy.to(bench.settings.postgres_host, bench.settings.postgres_port) as postgres:
        shaky = {**environment, "POSTGRES_HOST": postgres.host, "POSTGRES_PORT": str(postgres.port)}
        async with running(shaky, tmp_path, POLL_S="1", POSTGRES_DEADLINE_S="1") as worker:
            dataset_id = await bench.dataset(numbers(10))
            await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
            postgres.freeze()
            await worker.until_event("worker.backoff", count=2)
            postgres.thaw()
            job_id = await bench.job(dataset_id)
            await bench.until_status(job_id, JobStatus.COMPLETED)


async def test_everything_works_behind_a_transaction_pooling_proxy(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    async with (
        pooled(environment, folder) as through,
        running_system({**through, "CONCURRENCY": "2"}, tmp_path) as system,
        running({**through, "CONCURRENCY": "2"}, tmp_path),
    ):
        dataset = (await system.upload(numbers(2000), "numbers.csv")).json()
        body = [{"kind": "metrics", "dataset_id": dataset["id"], "reuse": "none"} for _ in range(20)]
        jobs = (await system.http.post("/jobs:batch", json={"jobs": body})).raise_for_status().json()["items"]
        chained = await system.http.post("/jobs", json={"kind": "anomalies", "dataset_id": dataset["id"]})
        last = await system.http.post("/jobs", json={"kind": "metrics", "input": {"job_id": chained.json()["id"]}})
        for job in [*jobs, chained.json(), last.json()]:
            assert (await system.settled(f"/jobs/{job['id']}"))["status"] == "completed"
    assert await violations(bench.database, []) == []
