"""Promise: who follows a job is told of each event once, in order, however often the connection is cut."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gristmill.api.auth import Caller
from gristmill.api.events import event_of
from gristmill.api.stream import COMMENT, RETRY, events_of
from gristmill.api.watch import Watcher
from gristmill.db.engine import Database
from gristmill.db.jobs import cancel_job
from gristmill.db.keys import add_key, revoke_key
from gristmill.domain.key import Scope, make_key
from gristmill.domain.outcome import Failed, Retry
from gristmill.errors import BadData
from gristmill.settings import Settings
from tests.api.queue_side import claim, settle
from tests.api.serving import Served, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
STREAM = {"Accept": "text/event-stream"}
PROBLEM = BadData("no").problem()


@pytest.fixture
async def job_id(client: httpx.AsyncClient, dataset_id: str) -> str:
    body = {"kind": "metrics", "dataset_id": dataset_id, "max_attempts": 100}
    return str((await client.post("/jobs", json=body)).raise_for_status().json()["id"])


async def welcome() -> Caller:
    return Caller("local", frozenset())


def followed(watcher: Watcher, database: Database, job_id: str, *, comment_s: float = 15) -> AsyncIterator[bytes]:
    return events_of(
        watcher,
        database,
        UUID(job_id),
        owner="local",
        admitted=welcome,
        after=0,
        shown=event_of,
        comment_s=comment_s,
    )


async def live(database: Database, job_id: str, *, attempts: int) -> None:
    """A life of many failures."""
    for _ in range(attempts - 1):
        await settle(database, await claim(database, job_id), Retry(PROBLEM, 0.0))
    await settle(database, await claim(database, job_id), Failed(PROBLEM))


def parsed(text: str) -> list[dict[str, str]]:
    """The events of a stream that came as a whole."""
    whole = text.split("\n\n")[:-1]
    found = [dict(line.split(": ", 1) for line in event.split("\n") if line != ":") for event in whole]
    return [event for event in found if "id" in event]


async def listed(client: httpx.AsyncClient, job_id: str, **query: Any) -> list[dict[str, Any]]:
    page = (await client.get(f"/jobs/{job_id}/events", params={"limit": 500, **query})).raise_for_status().json()
    found: list[dict[str, Any]] = page["items"]
    return found


async def test_a_finished_job_is_told_as_a_whole(client: httpx.AsyncClient, database: Database, job_id: str) -> None:
    await live(database, job_id, attempts=2)
    answer = await client.get(f"/jobs/{job_id}/events", headers=STREAM)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.startswith(RETRY.decode())
    items = await listed(client, job_id)
    assert [event["event"] for event in parsed(answer.text)] == ["created", "claimed", "retrying", "claimed", "failed"]
    assert [httpx.Response(200, text=event["data"]).json() for event in parsed(answer.text)] == items
    assert [int(event["id"]) for event in parsed(answer.text)] == [item["id"] for item in items]


async def test_what_was_told_is_not_told_again(client: httpx.AsyncClient, database: Database, job_id: str) -> None:
    await live(database, job_id, attempts=2)
    ids = [item["id"] for item in await listed(client, job_id)]
    for place, seen in enumerate(ids[:-1]):
        by_header = await client.get(f"/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": str(seen)})
        by_query = await client.get(f"/jobs/{job_id}/events", headers=STREAM, params={"after": seen})
        for answer in (by_header, by_query):
            assert [int(event["id"]) for event in parsed(answer.text)] == ids[place + 1 :]
        assert [item["id"] for item in await listed(client, job_id, after=seen)] == ids[place + 1 :]
    newer = {**STREAM, "Last-Event-ID": str(ids[-1])}
    over = await client.get(f"/jobs/{job_id}/events", headers=newer, params={"after": ids[0]})
    assert (over.status_code, over.content) == (204, b"")


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_or_doubled_over_cuts(
    served: Served, client: httpx.AsyncClient, database: Database, job_id: str, seed: int
) -> None:
    chance = random.Random(seed)
    living = asyncio.create_task(live(database, job_id, attempts=25))
    told: list[int] = []
    cuts = 0
    while True:
        headers = {**STREAM, **({"Last-Event-ID": str(told[-1])} if told else {})}
        received = b""
        async with (
            httpx.AsyncClient(base_url=served.url, timeout=30) as own,
            own.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer,
        ):
            if answer.status_code == 204:
                break
            left = chance.randrange(10, 1500)
            async for chunk in answer.aiter_raw(7):
                received += chunk
                if len(received) > left:
                    cuts += 1
                    break
        told += [int(event["id"]) for event in parsed(received.decode())]
    await living
    assert told == [item["id"] for item in await listed(client, job_id)]
    assert len(told) == 51
    assert cuts >= 3


async def test_many_streams_are_few_connections(
    served: Served, client: httpx.AsyncClient, database: Database, settings: Settings, job_id: str
) -> None:
    request = f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
    followers = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(300)]
    for _, writer in followers:
        writer.write(request)
    await asyncio.gather(*(reader.readuntil(b"event: created\n") for reader, _ in followers))
    async with database.driver() as driver:
        connections = await driver.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'gristmill-api'"
        )
    assert 1 <= connections <= settings.postgres_pool_size
    await client.post(f"/jobs/{job_id}/cancel")
    await asyncio.gather(*(reader.readuntil(b"event: canceled\n") for reader, _ in followers))
    for _, writer in followers:
        writer.close()


async def test_a_stream_that_is_cut_is_watched_no_more(database: Database, job_id: str) -> None:
    watcher = Watcher(database, interval_s=0.01)
    stream = events_of(
        watcher, database, UUID(job_id), owner="local", admitted=welcome, after=0, shown=event_of, comment_s=0.01
    )
    seen = [await anext(stream) for _ in range(4)]
    assert (seen[0], seen[1].count(b"event: created")) == (RETRY, 1)
    assert COMMENT in seen, "a silent stream says that it lives"
    await stream.aclose()  # type: ignore[attr-defined]
    assert not watcher._waiters
    await watcher.close()


async def test_a_stream_ends_with_the_api(database: Database, job_id: str) -> None:
    watcher = Watcher(database, interval_s=0.01)
    told: list[bytes] = []

    async def follow() -> None:
        async for part in events_of(
            watcher, database, UUID(job_id), owner="local", admitted=welcome, after=0, shown=event_of
        ):
            told.append(part)  # noqa: PERF401 (another task looks at it meanwhile)

    async def begun() -> bool:
        return len(told) == 2

    following = asyncio.create_task(follow())
    await until(begun)
    watcher.stop()
    await asyncio.wait_for(following, 30)
    await watcher.close()


async def test_a_stream_ends_with_its_key(client: httpx.AsyncClient, database: Database, job_id: str) -> None:
    token, key = make_key("local", (Scope.READ,))
    await add_key(database, key)
    headers = {**STREAM, "Authorization": f"Bearer {token}"}
    received = ""
    try:
        async with client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
            async for text in answer.aiter_text():
                received += text
                if "created" in received and "revoked" not in received:
                    await revoke_key(database, key.id)
                    received += "revoked"
                    await cancel_job(database, UUID(job_id), owner="local")
    finally:
        async with database.driver() as driver:
            await driver.execute("DELETE FROM api_keys")
    assert received.endswith("revoked")


async def test_a_stream_that_can_not_be_is_a_problem(client: httpx.AsyncClient, job_id: str) -> None:
    assert (await client.get(f"/jobs/{uuid4()}/events", headers=STREAM)).status_code == 404
    for seen in ("x", "-1", "1.5", "9" * 19):
        answer = await client.get(f"/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": seen})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Last-Event-ID")
    assert (await client.get(f"/jobs/{job_id}/events?after=-1")).status_code == 422


async def test_the_head_of_a_stream_does_not_wait(client: httpx.AsyncClient, job_id: str) -> None:
    head = await client.head(f"/jobs/{job_id}/events", headers=STREAM)
    assert (head.status_code, head.content) == (200, b"")


async def test_the_document_tells_of_streams(client: httpx.AsyncClient) -> None:
    told = (await client.get("/openapi.json")).json()["paths"]["/jobs/{job_id}/events"]["get"]["responses"]
    assert list(told["200"]["content"]) == ["application/json", "text/event-stream"]
    assert "204" in told
