"""The sweep removes what lost attempts and stale uploads left, and nothing that counts."""

from uuid import uuid4

from gristmill.db import claims, datasets, outcomes
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending
from gristmill.domain.manifest import Manifest, original_key, result_prefix
from gristmill.domain.outcome import Completed, Retry
from gristmill.errors import BadData
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.sweeper import Sweeper
from tests.worker.rig import OWNER, Bench, ingested

DONE = Completed(Manifest("job-results", "r/", ()))
LOST = Retry(BadData("lost").problem(), 0.0)


def sweeper(settings: Settings, bench: Bench, **updates: float) -> Sweeper:
    return Sweeper(settings.model_copy(update=updates), bench.database, bench.store)


async def attempt_with_objects(bench: Bench, outcome: Completed | Retry) -> str:
    """Claim a job, write under its prefix (an object and a part of another), and record the outcome."""
    (job,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    bucket, prefix = bench.settings.s3_job_results_bucket, result_prefix(str(job.id), job.lease)
    await bench.store.put(bucket, prefix + "part-00000.parquet", b"rows", "text/plain")
    await outcomes.record_outcomes(bench.database, [Ending(job.id, job.lease, outcome)])
    return prefix


async def test_lost_attempts_are_swept_once_after_their_grace(bench: Bench, settings: Settings) -> None:
    bucket = settings.s3_job_results_bucket
    await bench.job(await ingested(bench))
    lost = await attempt_with_objects(bench, LOST)
    kept = await attempt_with_objects(bench, DONE)
    early = await sweeper(settings, bench, sweep_grace_s=3600.0).run_once()
    assert early == {"attempts": 0, "objects": 0, "uploads": 0}
    assert await sweeper(settings, bench, sweep_grace_s=0.0).run_once() == {"attempts": 1, "objects": 1, "uploads": 0}
    assert await bench.keys(bucket, lost) == []
    assert len(await bench.keys(bucket, kept)) == 1
    assert (await sweeper(settings, bench, sweep_grace_s=0.0).run_once())["attempts"] == 0


async def test_stale_uploads_are_dropped_and_live_ones_kept(
    bench: Bench, settings: Settings, database: Database, store: ObjectStore
) -> None:
    bucket = settings.s3_datasets_bucket
    stale, live = [await datasets.begin_upload(database, owner=OWNER) for _ in range(2)]
    for upload_id in (stale, live):
        await store.put(bucket, original_key(str(upload_id)), b"a,b", "text/csv")
    async with database.driver() as driver:
        await driver.execute("UPDATE uploads SET touched_at = now() - interval '1 h' WHERE id = $1", stale)
    assert (await sweeper(settings, bench).run_once())["uploads"] == 1
    assert await bench.keys(bucket, f"{stale}/") == []
    assert await bench.keys(bucket, f"{live}/") == [original_key(str(live))]
    assert not await datasets.touch_upload(database, stale)
    assert await datasets.touch_upload(database, live)
