"""What a job's params name may be gone when it runs: it fails once, says so, and points at the param where it can."""

import json
from pathlib import Path
from uuid import uuid4

from gristmill.db.removal import remove_dataset
from gristmill.domain.job import JobStatus
from gristmill.domain.source import DatasetSource, DocumentSource
from tests.worker.rig import OWNER, Bench, numbers, running


async def test_what_is_named_and_gone(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    dataset_id, baseline_id = await bench.dataset(numbers(10)), await bench.dataset(numbers(10))
    source, bucket = uuid4(), bench.settings.s3_job_results_bucket
    fitted, compared = json.dumps({"fitted_from": str(source)}), json.dumps({"baseline_dataset_id": str(baseline_id)})
    document = DocumentSource("fitted_from", source, bucket, f"results/{source}/1/fitted.json", "0" * 64)
    jobs = {
        "its document": await bench.job(dataset_id, "normalize", fitted.encode(), sources=(document,)),
        "never looked up": await bench.job(dataset_id, "normalize", fitted.encode()),
        "never looked up either": await bench.job(dataset_id, "metrics", compared.encode()),
    }
    named = DatasetSource("baseline_dataset_id", baseline_id)
    async with running(environment, tmp_path) as worker:
        await bench.until_status(await bench.ingest_of(baseline_id), JobStatus.COMPLETED)
        assert await remove_dataset(bench.database, baseline_id, owner=OWNER, force=True)
        jobs["its dataset"] = await bench.job(dataset_id, "metrics", compared.encode(), sources=(named,))
        rows = {name: await bench.until_status(job_id, JobStatus.FAILED) for name, job_id in jobs.items()}
        await worker.until_event("executor.started")
    problems = {name: row.error for name, row in rows.items() if row.error is not None}
    assert {name: problem.code for name, problem in problems.items()} == {
        "its document": "input-failed",
        "its dataset": "input-failed",
        "never looked up": "invalid-request",
        "never looked up either": "invalid-request",
    }
    assert [fault.pointer for fault in problems["never looked up"].errors] == ["/params/fitted_from"]
    assert [fault.pointer for fault in problems["never looked up either"].errors] == ["/params/baseline_dataset_id"]
    assert {row.attempt for row in rows.values()} == {1}
