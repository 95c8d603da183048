"""A worker does jobs from claim to result, and stops politely: nothing claimed is stranded, no attempt is burnt."""

import signal
from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.proxy import FaultProxy
from tests.worker.rig import Bench, alive, numbers, running, until, worker_folders

ROWS = 120_000
SLOW_S = 0.3


async def test_ingest_and_job_are_done(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await bench.dataset(numbers(1000))
    job_id = await bench.job(dataset_id)
    async with running(environment, tmp_path) as worker:
        row = await bench.until_status(job_id, JobStatus.COMPLETED)
        ingest = await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0
    assert row.manifest is not None
    assert ingest.manifest is not None
    assert ingest.manifest.rows_in == 1000
    assert (row.manifest.rows_in, row.manifest.rows_out, row.manifest.rows_dropped) == (1000, 1000, 0)
    assert await bench.events(job_id) == ["created", "released", "claimed", "completed"]
    keys = await bench.keys(row.manifest.bucket, f"results/{job_id}/")
    assert sorted(keys) == sorted(file.key for file in row.manifest.files if file.content is None)
    assert not worker_folders(tmp_path), "the worker's scratch folder is gone"


async def test_soft_stop_lets_a_running_job_finish(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path, SOFT_STOP_S="60") as worker:
        await bench.until_progress(ingest_id)
        waiting = await bench.dataset(numbers(10))
        worker.signal(signal.SIGTERM)
        await worker.until_event("worker.draining")
        proxy.delay_s = 0.0
        assert await worker.exit_code() == 0
    assert (await bench.look(ingest_id)).status is JobStatus.COMPLETED
    assert await bench.events(await bench.ingest_of(waiting)) == ["created"], "a stopping worker claims nothing"


async def test_soft_stop_gives_back_what_takes_longer(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path, SOFT_STOP_S="0.2") as worker:
        await bench.until_progress(ingest_id)
        executors = worker.children()
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0
    row = await bench.look(ingest_id)
    assert (row.status, row.attempt) == (JobStatus.PENDING, 0), "no attempt is burnt"
    assert await bench.events(ingest_id) == ["created", "claimed", "interrupted"]
    assert not [pid for pid in executors if alive(pid)]
    assert await workers(bench) == 0
    await bench.until_clean(dataset_id, ingest_id)


async def test_a_second_signal_does_not_wait(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path, SOFT_STOP_S="3600") as worker:
        await bench.until_progress(ingest_id)
        worker.signal(signal.SIGINT)
        await worker.until_event("worker.draining")
        worker.signal(signal.SIGINT)
        assert await worker.exit_code() == 0
    row = await bench.look(ingest_id)
    assert (row.status, row.attempt) == (JobStatus.PENDING, 0)


async def test_lost_connections_are_made_again(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    async with running(environment, tmp_path, POLL_S="600", SWEEP_S="600") as worker:
        # A lone poll interval is longer than the test: what comes afterwards is heard by a new LISTEN.
        await bench.until_status(await bench.ingest_of(await bench.dataset(numbers(10))), JobStatus.COMPLETED)
        async with bench.database.driver() as driver:
            killed = await driver.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name LIKE 'gristmill-%' AND datname = current_database()"
            )
        assert killed >= 2
        await until(lambda: listening(bench), "the worker listens again")
        await bench.until_status(await bench.ingest_of(await bench.dataset(numbers(10))), JobStatus.COMPLETED)
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0


async def test_a_job_survives_an_outage_longer_than_its_lease(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with FaultProxy.to(bench.settings.postgres_host, bench.settings.postgres_port) as postgres:
        shaky = {**through_proxy, "POSTGRES_HOST": postgres.host, "POSTGRES_PORT": str(postgres.port)}
        async with running(shaky, tmp_path) as worker:
            await bench.until_progress(ingest_id)
            await postgres.refuse()
            proxy.delay_s = 0.0
            await until(lambda: lease_is_over(bench), "the outage is longer than the lease")
            await postgres.accept()
            row = await bench.until_status(ingest_id, JobStatus.COMPLETED)
            waited = {event["task"] for event in worker.events("worker.backoff")}
    assert row.attempt == 1, "nobody had claimed it meanwhile, so the work counts"
    assert {"heartbeat", "notifier"} <= waited


async def test_a_frozen_database_is_left_and_found_again(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    async with FaultProxy.to(bench.settings.postgres_host, bench.settings.postgres_port) as postgres:
        shaky = {**environment, "POSTGRES_HOST": postgres.host, "POSTGRES_PORT": str(postgres.port)}
        async with running(shaky, tmp_path, POSTGRES_DEADLINE_S="1") as worker:
            await bench.until_status(await bench.ingest_of(await bench.dataset(numbers(10))), JobStatus.COMPLETED)
            postgres.freeze()
            await worker.until_event("worker.backoff", count=3)
            postgres.reset()
            postgres.thaw()
            await bench.until_status(await bench.ingest_of(await bench.dataset(numbers(10))), JobStatus.COMPLETED)
            worker.signal(signal.SIGTERM)
            assert await worker.exit_code() == 0


async def test_poll_only_mode_does_without_listen(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    async with running(environment, tmp_path, LISTEN_NOTIFY="false") as worker:
        dataset_id = await bench.dataset(numbers(10))
        await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        assert not await listening(bench)
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0


async def test_a_side_task_that_dies_stops_the_worker(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment, tmp_path) as worker:
        async with bench.database.driver() as driver:
            await driver.execute("ALTER TABLE workers RENAME TO workers_gone")
        assert await worker.exit_code() == 1
        died = worker.events("worker.task_died")
    assert {event["task"] for event in died} & {"heartbeat", "rescuer"}, "whichever looked first"


async def lease_is_over(bench: Bench) -> bool:
    async with bench.database.driver() as driver:
        return bool(await driver.fetchval("SELECT bool_and(lease_expires_at < now()) FROM jobs WHERE lease > 0"))


async def listening(bench: Bench) -> bool:
    async with bench.database.driver() as driver:
        count = await driver.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'gristmill-listen' AND query NOT LIKE 'SELECT pg_catalog%'"
        )
    return bool(count)


async def workers(bench: Bench) -> int:
    async with bench.database.driver() as driver:
        return int(await driver.fetchval("SELECT count(*) FROM workers"))
