"""Broken files meet real executors: each ends in a dataset or a clear problem, at once, and no executor dies of it."""

from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.ingest.corruption import Broken
from tests.worker.rig import Bench, running, until

FIRST, FILES = 20_261_124, 120
# Seeds that did harm once. See `python -m tests.ingest.corruption`.
FOUND: tuple[int, ...] = ()
PROBLEMS = {"bad-data", "unsupported-format", "too-large"}


async def test_broken_files_are_refused_or_read(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    broken = Broken()
    seeds = [*FOUND, *range(FIRST, FIRST + FILES)]
    jobs = {}
    for seed in seeds:
        _, declared, content = broken.file(seed)
        jobs[seed] = await bench.ingest_of(await bench.dataset(content, declared=declared))
    async with running(environment, tmp_path, CONCURRENCY="2") as worker:
        executors = set(worker.children())
        for seed, job_id in jobs.items():

            async def final(job_id: object = job_id) -> bool:
                return (await bench.look(job_id)).status.final  # type: ignore[arg-type]

            await until(final, f"seed {seed} ends")
            row = await bench.look(job_id)
            assert row.attempt == 1, f"seed {seed}: {row.error}"
            if row.status is not JobStatus.COMPLETED:
                assert row.error is not None
                assert row.error.code in PROBLEMS, f"seed {seed}: {row.error}"
                assert row.error.detail
        assert set(worker.children()) == executors, "all executors are those of the beginning"
