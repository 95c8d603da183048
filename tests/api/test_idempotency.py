"""Promise: a request that creates, sent again with its Idempotency-Key, creates nothing and is answered the same."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.idempotency import forget_keys
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from tests.api.serving import serving, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
TYPE = {"Content-Type": "text/csv"}


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4())}


def code(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


async def count(database: Database, table: str, where: str = "true") -> int:
    async with database.driver() as driver:
        found: int = await driver.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608
        return found


def same(first: httpx.Response, again: httpx.Response) -> bool:
    told = ("Content-Type", "Location")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true", again.text
    return (first.status_code, first.content, [first.headers.get(name) for name in told]) == (
        again.status_code,
        again.content,
        [again.headers.get(name) for name in told],
    )


def posts(dataset_id: str) -> dict[str, Any]:
    job = {"kind": "metrics", "dataset_id": dataset_id, "params": {}}
    return {
        "/jobs": job,
        "/jobs:batch": {"jobs": [job, {**job, "kind": "anomalies"}]},
        "/schedules": {"name": "nightly", "cron": "0 2 * * *", "job": job},
    }


@pytest.mark.parametrize(
    ("path", "table", "made"), [("/jobs", "jobs", 1), ("/jobs:batch", "jobs", 2), ("/schedules", "schedules", 1)]
)
async def test_a_second_request_is_answered_as_the_first(
    client: httpx.AsyncClient, dataset_id: str, database: Database, path: str, table: str, made: int
) -> None:
    body, headers, there = posts(dataset_id)[path], keyed(), await count(database, table)
    first = await client.post(path, json=body, headers=headers)
    assert first.status_code in (201, 202), first.text
    async with database.driver() as driver:
        await driver.execute("UPDATE jobs SET priority = 7")
    turned = dict(reversed(body.items()))  # the order of names is no part of the payload
    assert same(first, await client.post(path, json=turned, headers=headers))
    assert await count(database, table) == there + made
    other = await client.post(path, json=body, headers=keyed())
    assert other.status_code == first.status_code
    assert other.content != first.content


async def test_a_key_with_another_payload_is_refused(client: httpx.AsyncClient, dataset_id: str) -> None:
    body, headers = posts(dataset_id), keyed()
    assert (await client.post("/jobs", json=body["/jobs"], headers=headers)).status_code == 202
    for path, payload in (("/jobs", {**body["/jobs"], "priority": 1}), ("/schedules", body["/schedules"])):
        answer = await client.post(path, json=payload, headers=headers)
        assert (answer.status_code, code(answer)) == (422, "idempotency-key-reused")
        assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    upload = await client.post("/datasets", content=CSV, headers={**TYPE, **headers})
    assert (upload.status_code, code(upload)) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"\xff"])
async def test_a_key_that_can_be_none_is_refused(client: httpx.AsyncClient, dataset_id: str, key: bytes) -> None:
    for path, body in posts(dataset_id).items():
        answer = await client.post(path, json=body, headers=[(b"Idempotency-Key", key)])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Idempotency-Key"), path


async def test_a_request_that_created_nothing_leaves_its_key_free(client: httpx.AsyncClient, dataset_id: str) -> None:
    headers = keyed()
    wrong = await client.post("/jobs", json={"kind": "magic", "dataset_id": dataset_id}, headers=headers)
    assert wrong.status_code == 422
    right = await client.post("/jobs", json=posts(dataset_id)["/jobs"], headers=headers)
    assert right.status_code == 202, right.text


async def test_many_at_once_create_one(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    body, headers = posts(dataset_id)["/jobs"], keyed()
    answers = await asyncio.gather(*(client.post("/jobs", json=body, headers=headers) for _ in range(12)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    taken = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(taken) == 1
    assert {code(answer) for answer in answers if answer.status_code == 409} <= {"idempotency-key-in-use"}
    assert await count(database, "jobs", "kind = 'metrics'") == 1


async def test_an_upload_that_is_sent_again_is_one_dataset(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    headers = {**TYPE, **keyed()}
    first = await client.post("/datasets?name=a&job=metrics", content=CSV, headers=headers)
    assert first.status_code == 201, first.text
    assert same(first, await client.post("/datasets?name=a&job=metrics", content=CSV, headers=headers))
    for path, content in (
        ("/datasets?name=a&job=metrics", CSV + b"Cairo,\n"),
        ("/datasets?name=b&job=metrics", CSV),
        ("/datasets?name=a", CSV),
    ):
        other = await client.post(path, content=content, headers=headers)
        assert (other.status_code, code(other)) == (422, "idempotency-key-reused"), path
    assert await count(database, "datasets") == 2
    assert await count(database, "uploads") == 0
    async with database.driver() as driver:  # a crash after the commit, before the answer
        await driver.execute("UPDATE idempotency_keys SET body = NULL")
    rebuilt = await client.post("/datasets?name=a&job=metrics", content=CSV, headers=headers)
    assert (rebuilt.status_code, rebuilt.headers["Location"]) == (201, first.headers["Location"])
    assert rebuilt.headers["Idempotent-Replayed"] == "true"


async def test_an_upload_under_way_holds_its_key_while_it_lives(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    headers, more = {**TYPE, **keyed()}, asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CSV
        await more.wait()
        yield b"Cairo,3\n"

    first = asyncio.create_task(client.post("/datasets?name=a", content=slow(), headers=headers))
    await until(lambda: _are(database, "uploads", 1))
    second = await client.post("/datasets?name=a", content=CSV, headers=headers)
    assert (second.status_code, code(second), second.headers["Retry-After"]) == (409, "idempotency-key-in-use", "1")
    async with database.driver() as driver:  # as if its process had died
        await driver.execute("UPDATE uploads SET touched_at = now() - interval '1 day'")
    third = await client.post("/datasets?name=a", content=CSV, headers=headers)
    assert third.status_code == 201, third.text
    more.set()
    late = await first
    assert (late.status_code, code(late)) == (409, "idempotency-key-in-use")
    assert await count(database, "datasets") == 2
    assert await count(database, "uploads") == 0


async def test_keys_belong_to_an_owner(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    headers = {**TYPE, **keyed()}
    try:
        made = []
        for owner in ("ann", "bob"):
            token, key = make_key(owner, (Scope.READ, Scope.WRITE))
            await add_key(database, key)
            own = {**headers, "Authorization": f"Bearer {token}"}
            made.append((await client.post("/datasets", content=CSV, headers=own)).raise_for_status().json()["id"])
        assert made[0] != made[1]
    finally:
        async with database.driver() as driver:
            await driver.execute("DELETE FROM api_keys")


async def test_keys_are_forgotten(client: httpx.AsyncClient, dataset_id: str, database: Database) -> None:
    body, headers = posts(dataset_id)["/jobs"], keyed()
    first = await client.post("/jobs", json=body, headers=headers)
    assert await forget_keys(database) == 0
    async with database.driver() as driver:
        await driver.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    later = await client.post("/jobs", json={**body, "priority": 1}, headers=headers)
    assert (first.status_code, later.status_code) == (202, 202)
    assert later.json()["id"] != first.json()["id"]
    async with database.driver() as driver:
        await driver.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    assert await forget_keys(database) == 1


async def test_a_crash_neither_blocks_a_key_nor_creates_twice(
    client: httpx.AsyncClient,
    dataset_id: str,
    database: Database,
    module_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    body, headers = posts(dataset_id)["/jobs"], keyed()

    async def held() -> bool:
        return bool(await count(database, "pg_locks", "locktype = 'advisory' AND granted"))

    with serving(module_environment, tmp_path / "log", exit_code=-signal.SIGKILL) as doomed:
        async with httpx.AsyncClient(base_url=doomed.url, timeout=30) as other, database.session() as session:
            await session.exec_driver_sql("SELECT FROM datasets FOR UPDATE")  # the submission waits for this
            first = asyncio.create_task(other.post("/jobs", json=body, headers=headers))
            await until(held)
            second = await client.post("/jobs", json=body, headers=headers)
            assert (second.status_code, code(second)) == (409, "idempotency-key-in-use")
            os.kill(doomed.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await first
    # The server notices when the statement ends that waited for the dataset.
    answer = await _answered(client, body, headers)
    assert answer.status_code == 202, answer.text
    assert await count(database, "jobs", "kind = 'metrics'") == 1


async def _answered(client: httpx.AsyncClient, body: Any, headers: dict[str, str]) -> httpx.Response:
    answers: list[httpx.Response] = []

    async def free() -> bool:
        answers.append(await client.post("/jobs", json=body, headers=headers))
        return answers[-1].status_code != 409

    await until(free)
    return answers[-1]


async def _are(database: Database, table: str, wanted: int) -> bool:
    return await count(database, table) == wanted
