"""A job over its memory fails for good; one that does not get on is tried again; neither takes the worker along."""

import signal
from pathlib import Path

import msgspec
import pytest

from gristmill.domain.job import JobStatus
from gristmill.settings import Settings
from gristmill.worker.watch import Watch
from tests.worker.dropped_in import dropped_in
from tests.worker.rig import Bench, executor_folders, running, scratch_folders
from tests.worker.rig import ready as ready_dataset


def params(**values: object) -> bytes:
    return msgspec.json.encode(values)


@pytest.fixture
def knowing(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of workers that know a kind which misbehaves."""
    return {**environment, **dropped_in(tmp_path / "dropped")}


async def test_memory(bench: Bench, knowing: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await ready_dataset(bench)
    greedy = await bench.job(dataset_id, "misbehave", params(take_mb=4096))
    at_once = await bench.job(dataset_id, "misbehave", params(take_mb=1 << 24, step_mb=1 << 24))
    async with running(knowing, tmp_path, EXECUTOR_MEMORY_MB="256") as worker:
        for job_id in (greedy, at_once):
            row = await bench.until_status(job_id, JobStatus.FAILED)
            assert row.error is not None
            assert (row.attempt, row.error.code) == (1, "memory-limit"), "it would need as much again"
        assert [event["reason"] for event in worker.events("executor.killed")] == ["over_memory"]
        told = (await bench.look(greedy)).error
        assert told is not None
        for word in ("256 MiB", "EXECUTOR_MEMORY_MB", "fewer columns"):
            assert word in told.detail

        # What a job leaves in its executor is not counted against the next one: 150 and 150 are more than 256.
        for _ in range(2):
            keeping = await bench.job(dataset_id, "misbehave", params(take_mb=144, keep=True))
            await bench.until_status(keeping, JobStatus.COMPLETED)
        await worker.until_event("executor.recycled", count=2)
        await worker.until_event("executor.started", count=4)
        assert len(executor_folders(tmp_path)) == 1, "temporary files go with their executor"
        assert not scratch_folders(tmp_path)
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0, "the worker lives through all of it"


async def test_a_job_that_does_not_get_on_is_tried_again(bench: Bench, knowing: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await ready_dataset(bench)
    job_id = await bench.job(dataset_id, "misbehave", params(freeze=True), max_attempts=2)
    async with running(knowing, tmp_path, STALL_S="1") as worker:
        row = await bench.until_status(job_id, JobStatus.FAILED)
        assert [event["reason"] for event in worker.events("executor.killed")] == ["stalled", "stalled"]
        assert not scratch_folders(tmp_path)
        await worker.until_event("executor.started", count=3)
        assert len(executor_folders(tmp_path)) == 1
    assert row.error is not None
    assert (row.attempt, row.error.code) == (2, "stalled")
    assert await bench.events(job_id) == ["created", "claimed", "retrying", "claimed", "failed"]


async def test_a_death_by_another_hand_is_no_memory_limit(
    bench: Bench, knowing: dict[str, str], tmp_path: Path
) -> None:
    job_id = await bench.job(await ready_dataset(bench), "misbehave", params(die=True), max_attempts=2)
    async with running(knowing, tmp_path) as worker:
        row = await bench.until_status(job_id, JobStatus.FAILED)
        assert not scratch_folders(tmp_path)
        await worker.until_event("executor.started", count=3)
        assert len(executor_folders(tmp_path)) == 1
    assert row.error is not None
    assert (row.attempt, row.error.code) == (2, "executor-lost")


async def test_a_kill_by_the_kernel_is_known_by_its_count(settings: Settings) -> None:
    counts = iter([7, 7, 8, 8])
    watch = Watch(settings, also=nothing, kills=lambda: next(counts))
    assert not watch.kernel_killed(), "what was killed before is not ours"
    assert watch.kernel_killed()
    assert not watch.kernel_killed()


async def nothing() -> None:
    """For a watch that does nothing else."""
