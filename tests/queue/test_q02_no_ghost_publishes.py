"""Q2: nothing is published twice or by a ghost: a stopped supervisor that wakes after its lease changes nothing."""

import signal
from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.proxy import FaultProxy
from tests.queue.history import violations
from tests.worker.rig import Bench, numbers, running, until


async def test_a_supervisor_that_wakes_too_late_is_refused(
    bench: Bench, environment: dict[str, str], s3_proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(120_000))
    ingest_id = await bench.ingest_of(dataset_id)
    s3_proxy.delay_s = 0.3
    async with running({**environment, "S3_ENDPOINT_URL": s3_proxy.url}, tmp_path) as ghost:
        await bench.until_progress(ingest_id)
        ghost.signal(signal.SIGSTOP)
        async with running(environment, tmp_path) as heir:
            row = await bench.until_status(ingest_id, JobStatus.COMPLETED)
            assert heir.events("job.rescued")
        # Its executor was not stopped and has done the work by now; the supervisor hands it in too late.
        s3_proxy.delay_s = 0.0
        ghost.signal(signal.SIGCONT)
        await ghost.until_event("job.lease_lost")

    async def clean() -> bool:
        return not await bench.leftovers(dataset_id, ingest_id)

    assert row.attempt == 2
    assert await bench.commits(ingest_id) == 1
    async with running(environment, tmp_path):
        await until(clean, "what the ghost wrote is gone")
    assert await violations(bench.database, [ingest_id]) == []
