"""Q6: failures that may pass are tried again up to a limit, with every error kept; others fail at once."""

import msgspec

from gristmill.db.claims import Claimer
from gristmill.db.engine import Database
from gristmill.db.jobs import list_events
from gristmill.domain.job import JobStatus
from gristmill.domain.outcome import Failed, Retry, Snoozed
from gristmill.errors import BadData, ExecutorLost
from tests.db.rows import OWNER, claim, enqueued, look, new_dataset, record
from tests.queue.history import violations


async def test_every_attempts_error_is_kept(database: Database) -> None:
    job = await enqueued(database, await new_dataset(database), max_attempts=3)
    for n in (1, 2):
        (claimed,) = await claim(database)
        await record(database, claimed, Retry(ExecutorLost(f"death {n}").problem(), 0.0))
    (claimed,) = await claim(database)
    await record(database, claimed, Failed(ExecutorLost("death 3").problem()))
    events = await list_events(database, job.id, owner=OWNER)
    told = [msgspec.json.decode(event.data)["error"]["detail"] for event in events if event.data]
    assert told == ["death 1", "death 2", "death 3"]
    assert (await look(database, job.id)).status is JobStatus.FAILED
    assert await violations(database, [job.id]) == []


async def test_what_can_not_get_better_fails_at_once(database: Database) -> None:
    job = await enqueued(database, await new_dataset(database), max_attempts=9)
    (claimed,) = await claim(database)
    await record(database, claimed, Failed(BadData("empty").problem()))
    assert (await look(database, job.id)).attempt == 1


async def test_a_snooze_burns_no_attempt(database: Database) -> None:
    job = await enqueued(database, await new_dataset(database), max_attempts=1)
    for _ in range(3):
        (claimed,) = await claim(database)
        assert claimed.attempt == 1
        assert await record(database, claimed, Snoozed(0.0)) is JobStatus.PENDING
    (claimed,) = await claim(database)
    await record(database, claimed, Snoozed(60.0))
    claimer = Claimer(database, job.id, lease_s=60)
    assert await claimer.claim(1) == []
    assert claimer.next_due_s is not None
    assert 50 < claimer.next_due_s <= 60
