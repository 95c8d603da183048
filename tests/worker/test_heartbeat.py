"""A running job's progress says how long it will take, from jobs of its kind before it."""

from uuid import uuid4

import msgspec

from gristmill.api.jobs import job_of
from gristmill.db import claims, outcomes
from gristmill.db.outcomes import Ending
from gristmill.db.paces import recent_paces
from gristmill.domain.dataset import DataFormat, DatasetInput
from gristmill.domain.job import Progress
from gristmill.domain.left import Paces
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed
from gristmill.worker.attempt import Attempt
from tests.worker.rig import Bench, ready

ROWS = 1_000_000


async def test_time_left_from_jobs_before(bench: Bench) -> None:
    dataset_id = await ready(bench)
    before_id = await bench.job(dataset_id)
    (before,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    done = Completed(Manifest("job-results", "r/", (), rows_in=1000))
    await outcomes.record_outcomes(bench.database, [Ending(before.id, before.lease, done)])
    async with bench.database.driver() as driver:
        await driver.execute("UPDATE jobs SET started_at = finished_at - interval '10 s' WHERE id = $1", before_id)
    paces = Paces()
    for pace in await recent_paces(bench.database):
        paces.note(*pace)
    assert paces.typical("metrics") == 100

    job_id = await bench.job(dataset_id)
    (claim,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    attempt = Attempt(claim)
    attempt.dataset = DatasetInput(dataset_id, DataFormat.CSV, "", 1, rows=ROWS)
    attempt.begin()
    attempt.advance(Progress("fit", 0, ROWS))
    beat = attempt.beat(paces)
    await claims.send_heartbeats(bench.database, [beat], lease_s=60)
    attempt.told(beat.progress)
    assert attempt.beat(paces).progress is None, "what is told is not told again"
    row = await bench.look(job_id)
    assert row.progress is not None
    assert isinstance(row.progress.seconds_left, int)
    assert 9000 < row.progress.seconds_left <= 10_000, "1 M rows at 100 a second"
    answer = msgspec.json.decode(msgspec.json.encode(job_of(row)))
    assert answer["progress"]["seconds_left"] == row.progress.seconds_left


async def test_nothing_is_said_where_nothing_is_known(bench: Bench) -> None:
    await bench.job(await ready(bench))
    (claim,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    attempt = Attempt(claim)
    attempt.dataset = DatasetInput(claim.dataset_id, DataFormat.CSV, "", 1, rows=ROWS)
    attempt.begin()
    attempt.advance(Progress("fit", 0, ROWS))
    beat = attempt.beat(Paces())
    assert beat.progress == Progress("fit", 0, ROWS)
    assert b"seconds_left" not in msgspec.json.encode(beat.progress)
