"""Promise: who waits for a job is told of its change, at once and once, and nobody else pays for it."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from gristmill.api.conditions import MAX_WAIT_S, matches, preferred_wait
from gristmill.api.watch import Watch, Watcher
from gristmill.db.claims import Heartbeat, send_heartbeats
from gristmill.db.engine import Database
from gristmill.db.jobs import cancel_job
from gristmill.db.keys import add_key, revoke_key
from gristmill.domain.job import Progress
from gristmill.domain.key import Scope, make_key
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData, DatabaseUnavailable
from tests.api.queue_side import claim, settle
from tests.api.serving import serving, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


async def submit(client: httpx.AsyncClient, dataset_id: str, prefer: str | None = None) -> httpx.Response:
    body = {"kind": "metrics", "dataset_id": dataset_id, "reuse": "none"}
    return await client.post("/jobs", json=body, headers={} if prefer is None else {"Prefer": prefer})


def look(client: httpx.AsyncClient, job: Any, **headers: str) -> "asyncio.Task[httpx.Response]":
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.create_task(client.get(f"/jobs/{job['id']}", headers=named))


async def test_what_has_not_changed_is_not_sent_again(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    job = (await submit(client, dataset_id)).json()
    first = await look(client, job)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    again = await look(client, job, If_None_Match=f'"other", {etag}')
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert again.headers["Retry-After"] == "1"
    claimed = await claim(database, job["id"])
    running = await look(client, job, If_None_Match=etag)
    assert (running.status_code, running.json()["status"]) == (200, "running")
    await send_heartbeats(database, [Heartbeat(claimed.id, claimed.lease)], lease_s=600)
    beaten = await look(client, job, If_None_Match=running.headers["ETag"])
    assert beaten.status_code == 304, "a heartbeat is no change"
    await settle(database, claimed, Failed(BadData("no").problem()))
    final = await look(client, job, If_None_Match=running.headers["ETag"])
    assert (final.status_code, final.json()["status"]) == (200, "failed")
    assert "Retry-After" not in final.headers


async def test_a_change_ends_the_waiting(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    job = (await submit(client, dataset_id)).json()
    etag = (await look(client, job)).headers["ETag"]
    waiting = look(client, job, Prefer="wait=30", If_None_Match=etag)
    claimed = await claim(database, job["id"])
    changed = await waiting
    assert (changed.status_code, changed.json()["status"]) == (200, "running")
    assert changed.headers["Preference-Applied"] == "wait=30"
    waiting = look(client, job, Prefer="wait=30", If_None_Match=changed.headers["ETag"])
    progress = Progress(stage="scan", done=1, total=2)
    await send_heartbeats(database, [Heartbeat(claimed.id, claimed.lease, progress)], lease_s=600)
    moved = await waiting
    assert moved.json()["progress"]["done"] == 1
    stale = await look(client, job, Prefer="wait=30", If_None_Match=etag)
    assert stale.json() == moved.json(), "a change that is there already is not waited for"


async def test_waiting_ends(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    job = (await submit(client, dataset_id)).json()
    nothing = await look(client, job, Prefer="wait=1")
    assert (nothing.status_code, nothing.json()["status"]) == (200, "pending")
    same = await look(client, job, Prefer="wait=0", If_None_Match=nothing.headers["ETag"])
    assert (same.status_code, same.headers["Preference-Applied"]) == (304, "wait=0")
    capped = look(client, job, Prefer="wait=999999")
    await client.post(f"/jobs/{job['id']}/cancel")
    assert (await capped).headers["Preference-Applied"] == f"wait={MAX_WAIT_S}"
    final = await look(client, job, Prefer="wait=30")
    assert final.json()["status"] == "canceled"
    etag = final.headers["ETag"]
    assert (await look(client, job, Prefer="wait=30", If_None_Match=etag)).status_code == 304
    assert (await client.get(f"/jobs/{uuid4()}", headers={"Prefer": "wait=30"})).status_code == 404


async def test_waiting_ends_with_its_key(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    job = (await submit(client, dataset_id)).json()
    token, key = make_key("local", (Scope.READ,))
    await add_key(database, key)
    try:
        own = {"Authorization": f"Bearer {token}"}
        etag = (await look(client, job, **own)).headers["ETag"]
        since = await _now(database)
        waiting = look(client, job, Prefer="wait=30", If_None_Match=etag, **own)
        await until(lambda: _looked_at(database, since))
        await revoke_key(database, key.id)
        await cancel_job(database, UUID(job["id"]), owner="local")
        assert (await waiting).status_code == 401
    finally:
        async with database.driver() as driver:
            await driver.execute("DELETE FROM api_keys")


async def test_a_job_may_be_waited_for_where_it_is_posted(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    posting = asyncio.create_task(submit(client, dataset_id, "respond-async, wait=30"))

    async def there() -> bool:
        return bool((await client.get("/jobs?limit=1")).json()["items"])

    await until(there)
    job = (await client.get("/jobs?limit=1")).json()["items"][0]
    await settle(database, await claim(database, job["id"]), Failed(BadData("no").problem()))
    answer = await posting
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert (answer.headers["Location"], answer.headers["Preference-Applied"]) == (f"/jobs/{job['id']}", "wait=30")
    unfinished = await submit(client, dataset_id, "wait=0")
    assert (unfinished.status_code, unfinished.json()["status"]) == (202, "pending")
    assert unfinished.headers["Retry-After"] == "1"


async def test_many_who_wait_are_one_statement_a_tick(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    jobs = [UUID((await submit(client, dataset_id)).json()["id"]) for _ in range(3)]
    looks = []

    class Counted(Watcher):
        async def look(self, waiters: Sequence[Watch]) -> None:
            looks.append(len(waiters))
            await super().look(waiters)

    watcher = Counted(database, interval_s=0.01)
    with ExitStack() as all_of_them:
        watches = [all_of_them.enter_context(watcher.watching(job, owner="local")) for job in jobs * 1000]
        assert all(await asyncio.gather(*(watch.change(30) for watch in watches))), "the first look wakes all"
        await cancel_job(database, jobs[0], owner="local")
        assert all(await asyncio.gather(*(watch.change(30) for watch in watches[::3])))
        assert set(looks) == {3000}
        assert not any(watch._woken.is_set() for watch in watches[1::3])
    await until(lambda: _done(watcher))


async def test_a_look_that_fails_is_not_the_last(database: Database) -> None:
    failures: list[Exception] = [ValueError("a defect"), DatabaseUnavailable("away")]

    class Failing(Watcher):
        async def look(self, waiters: Sequence[Watch]) -> None:
            if failures:
                raise failures.pop()
            await super().look(waiters)

    watcher = Failing(database, interval_s=0.01)
    with watcher.watching(uuid4(), owner="local") as watch:
        assert await watch.change(30)
    await watcher.close()


async def _done(watcher: Watcher) -> bool:
    return watcher._task is not None and watcher._task.done()


async def test_stopping_answers_who_waits(
    dataset_id: str, client: httpx.AsyncClient, module_environment: dict[str, str], tmp_path: Any, database: Database
) -> None:
    job = (await submit(client, dataset_id)).json()
    with serving({**module_environment, "WATCH_S": "0.01"}, tmp_path / "log") as stopped:
        async with httpx.AsyncClient(base_url=stopped.url, timeout=40) as other:
            since = await _now(database)
            waiting = look(other, job, Prefer="wait=30")
            await until(lambda: _looked_at(database, since))

            os.kill(stopped.pid, signal.SIGTERM)
            answer = await waiting
    assert answer.status_code == 200
    assert json.loads(answer.content)["status"] == "pending"


async def _now(database: Database) -> datetime:
    async with database.driver() as driver:
        moment: datetime = await driver.fetchval("SELECT clock_timestamp()")
        return moment


async def _looked_at(database: Database, since: datetime) -> bool:
    """Whether a server has looked at jobs that somebody waits for."""
    async with database.driver() as driver:
        return bool(
            await driver.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'gristmill-api' AND query LIKE '%gristmill_job_states%' AND query_start > $1",
                since,
            )
        )


def test_preferences_that_are_not_understood_are_none() -> None:
    assert preferred_wait("wait=5") == preferred_wait('return=minimal, Wait = "5"; x=1') == 5
    assert preferred_wait(None) is preferred_wait("wait=-1") is preferred_wait("wait=x, wait") is None


def test_tags_are_compared_weakly() -> None:
    assert matches('"a", W/"b"', 'W/"b"')
    assert matches('"b"', 'W/"b"')
    assert matches("*", 'W/"b"')
    assert not matches('"a"', 'W/"b"')
    assert not matches(None, 'W/"b"')
