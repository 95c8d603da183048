"""Promise: who follows the jobs or the queue is told of each change of their own, at one look a tick for all."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from gristmill.api.auth import Caller
from gristmill.api.live import NEWEST, Live, QueueSeen, States, changes, feeds, jobs_told, queue_told
from gristmill.api.stream import COMMENT, RETRY
from gristmill.db.engine import Database
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData, Unauthorized
from gristmill.settings import Settings
from tests.api.queue_side import claim, settle
from tests.api.serving import Served
from tests.db.rows import enqueued, new_dataset

STREAM = {"Accept": "text/event-stream"}
PROBLEM = BadData("no").problem()
PATIENCE_S = 15


@pytest.fixture
async def live(database: Database, settings: Settings) -> AsyncIterator[Live]:
    opened = feeds(settings, database)
    yield opened
    opened.stop()
    await opened.close()


class Told:
    """The events of a stream, as they come."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, *kinds: str) -> tuple[str, Any]:
        """The next event of one of these types."""
        async with asyncio.timeout(PATIENCE_S):
            name = ""
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                if field == "data" and name in kinds:
                    return name, json.loads(value)
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def following(served: Served, path: str) -> AsyncIterator[Told]:
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=30) as own,
        own.stream("GET", path, headers=STREAM) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = Told(answer.aiter_lines())
        await told.next("open")
        yield told


async def submitted(client: httpx.AsyncClient, dataset_id: str) -> str:
    body = {"kind": "metrics", "dataset_id": dataset_id, "reuse": "none"}
    return str((await client.post("/jobs", json=body)).raise_for_status().json()["id"])


async def test_every_change_of_a_job_is_told_as_the_job_is(
    served: Served, client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    async with following(served, "/events") as told:
        job_id = await submitted(client, dataset_id)
        _, job = await told.next("job")
        assert (job["id"], job["status"]) == (job_id, "pending")
        claimed = await claim(database, job_id)
        _, job = await told.next("job")
        assert (job["status"], job["attempt"]) == ("running", 1)
        await settle(database, claimed, Failed(PROBLEM))
        _, job = await told.next("job")
        assert job == (await client.get(f"/jobs/{job_id}")).json()
        await client.delete(f"/jobs/{job_id}")
        assert await told.next("job", "gone") == ("gone", {"id": job_id})


async def test_another_owners_jobs_are_not_told(database: Database, live: Live) -> None:
    told = jobs_told(live.jobs, database, owner="bob", admitted=allowed)
    assert (await gathered(told, least=2))[1].startswith(b"event: open")
    hers = await enqueued(database, await new_dataset(database, owner="ann"), owner="ann")
    his = await enqueued(database, await new_dataset(database, owner="bob"), owner="bob")
    heard = b""
    while str(his.id).encode() not in heard:
        heard += b"".join(await gathered(told, least=1))
    assert str(hers.id).encode() not in heard


async def test_there_is_nothing_but_a_stream(client: httpx.AsyncClient) -> None:
    for path in ("/events", "/queue/events"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (406, "not-acceptable")
        assert (await client.head(path, headers=STREAM)).status_code == 406


def state(number: int, *, running: bool = False) -> tuple[int, bool]:
    return number, running


def ids(count: int) -> list[UUID]:
    return [UUID(int=place + 1) for place in range(count)]


def test_only_what_changed_is_told() -> None:
    one, two, three = ids(3)
    before: States = {one: state(1), two: state(2)}
    assert changes(before, before) == ()
    assert changes(before, {**before, two: state(9)}) == (two,)
    assert changes(before, {**before, three: state(3)}) == (three,)
    assert changes(before, {one: state(1)}) == (two,), "it was removed"
    assert changes({one: state(1, running=True)}, {}) == (one,), "it is final"


def test_jobs_that_newer_ones_displace_are_not_told() -> None:
    old, *newer = ids(NEWEST + 2)
    full = {job_id: state(1) for job_id in newer[: NEWEST - 1]}
    pushed = {job_id: state(1) for job_id in newer[1 : NEWEST + 1]}
    assert set(changes({old: state(1), **full}, pushed)) == set(newer[NEWEST - 1 : NEWEST + 1])
    ran = {old: state(1, running=True), **full}
    assert old in changes(ran, pushed), "one that ran has ended"


async def allowed() -> Caller:
    return Caller("local", frozenset())


async def gathered(stream: AsyncIterator[bytes], *, least: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        async for chunk in stream:
            found.append(chunk)
            if len(found) >= least:
                break
    return found


async def test_a_key_that_ends_ends_the_stream(database: Database, live: Live) -> None:
    """Also of somebody whose jobs do not change: at the next comment."""
    asked = 0

    async def revoked() -> Caller:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise Unauthorized("No more.")
        return await allowed()

    told = [chunk async for chunk in jobs_told(live.jobs, database, owner="ann", admitted=revoked, comment_s=0.01)]
    assert told[0] == RETRY
    assert COMMENT in told


async def test_many_who_follow_are_one_look_a_tick(database: Database, live: Live) -> None:
    looks: list[frozenset[str]] = []
    look = live.jobs._look

    async def counted(owners: frozenset[str]) -> Mapping[str, States]:
        looks.append(owners)
        return await look(owners)

    live.jobs._look = counted
    owners = [f"owner {place}" for place in range(40)]
    streams = [jobs_told(live.jobs, database, owner=owner, admitted=allowed) for owner in owners for _ in range(5)]
    opened = await asyncio.gather(*(gathered(stream, least=2) for stream in streams))
    assert all(chunks[1].startswith(b"event: open") for chunks in opened)
    assert len(looks) <= 3, "two hundred listeners cost a look of their own each"
    assert looks[-1] == frozenset(owners)


async def test_the_queue_its_workers_and_its_history_are_told(database: Database, live: Live) -> None:
    told = queue_told(live.queue, owner="local", admitted=allowed)
    names = [chunk.split(b"\n")[0].decode() for chunk in await gathered(told, least=5)]
    assert names[2:] == [f"event: {name}" for name in QueueSeen.__struct_fields__]
    await enqueued(database, await new_dataset(database), kind="rare")
    event = b""
    while b'"kind":"rare","due":1' not in event:
        (event,) = await gathered(told, least=1)


async def test_stopping_ends_the_streams(database: Database, live: Live) -> None:
    told = jobs_told(live.jobs, database, owner="ann", admitted=allowed)
    assert len(await gathered(told, least=2)) == 2
    live.stop()
    assert len(await gathered(told, least=2)) < 2


async def test_the_history_counts_what_became_final(
    client: httpx.AsyncClient, database: Database, dataset_id: str
) -> None:
    assert dataset_id

    async def ingested(minutes: int) -> int:
        answer = (await client.get("/queue/history", params={"minutes": minutes})).raise_for_status()
        return sum(item["completed"] for item in answer.json()["items"] if item["kind"] == "ingest")

    before = await ingested(5)
    assert before >= 1
    async with database.driver() as driver:
        await driver.execute("UPDATE jobs SET finished_at = finished_at - interval '2 hours' WHERE kind = 'ingest'")
    assert await ingested(60) == 0
    assert await ingested(180) == before


@pytest.mark.parametrize("minutes", ["0", "1441", "x"])
async def test_a_history_has_a_length(client: httpx.AsyncClient, minutes: str) -> None:
    answer = await client.get("/queue/history", params={"minutes": minutes})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/minutes")
