"""Promise: operators see what waits and who works, and can stop, slow and start it; nobody else can."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from tests.db.rows import claim, enqueued, new_dataset


@pytest.fixture(autouse=True)
async def empty(database: Database) -> AsyncIterator[None]:
    yield
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, queue_limits, api_keys, workers CASCADE")


async def test_the_queue_says_what_waits_and_runs(client: httpx.AsyncClient, database: Database) -> None:
    dataset_id = await new_dataset(database)
    first = await enqueued(database, dataset_id)
    assert [job.id for job in await claim(database)] == [first.id]
    await enqueued(database, dataset_id)
    await enqueued(database, dataset_id, input_job_id=first.id)
    await enqueued(database, dataset_id, kind="normalize")
    async with database.driver() as driver:
        await driver.execute("UPDATE jobs SET scheduled_at = now() + interval '1 day' WHERE kind = 'normalize'")
    queue = (await client.get("/queue")).raise_for_status().json()
    assert not queue["paused"]
    metrics, normalize = queue["kinds"]
    counts = ("due", "delayed", "blocked", "running")
    assert [metrics[name] for name in counts] == [1, 0, 1, 1]
    assert [normalize[name] for name in counts] == [0, 1, 0, 0]
    assert metrics["oldest_wait_s"] >= 0
    assert normalize["oldest_wait_s"] is None
    assert (await client.get("/workers")).json() == {"items": []}


async def test_a_worker_says_what_it_runs_and_not_for_whom(client: httpx.AsyncClient, database: Database) -> None:
    await enqueued(database, await new_dataset(database))
    (job,) = await claim(database)
    async with database.driver() as driver:
        await driver.execute(
            "INSERT INTO workers (id, host, pid, slots, version)"
            " SELECT worker_id, 'mill', 7, 2, '0' FROM jobs WHERE status = 'running'"
        )
    (worker,) = (await client.get("/workers")).raise_for_status().json()["items"]
    assert (worker["host"], worker["slots"], worker["running"]) == ("mill", 2, 1)
    (running,) = worker["runs"]
    assert (running["kind"], running["attempt"]) == (job.kind, 1)
    assert str(job.id) not in str(worker)


async def test_claiming_is_paused_and_resumed(client: httpx.AsyncClient, database: Database) -> None:
    dataset_id = await new_dataset(database)
    await enqueued(database, dataset_id)
    paused = (await client.post("/queue/pause?kind=metrics")).raise_for_status().json()
    assert [kind["paused"] for kind in paused["kinds"]] == [True]
    assert await claim(database) == []
    assert (await client.post("/queue/pause")).json()["paused"]
    await client.post("/queue/resume?kind=metrics")
    assert await claim(database) == []
    await client.post("/queue/resume")
    assert len(await claim(database)) == 1


async def test_limits_are_set_listed_and_removed(client: httpx.AsyncClient, database: Database) -> None:
    await new_dataset(database)
    for path, body in (
        ("kind/metrics", {"rate": 5, "rate_period_s": 60}),
        ("owner/ann", {"max_running": 2}),
        ("all/*", {"max_running": 9}),
    ):
        answer = await client.put(f"/queue/limits/{path}", json=body)
        assert answer.status_code == 200, answer.text
    items = (await client.get("/queue/limits")).json()["items"]
    assert [(item["scope"], item["name"], item["max_running"]) for item in items] == [
        ("all", "*", 9),
        ("kind", "metrics", None),
        ("owner", "ann", 2),
    ]
    assert (await client.delete("/queue/limits/owner/ann")).status_code == 204
    assert (await client.delete("/queue/limits/owner/ann")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("kind/metrics", {"rate": 5}, "/rate_period_s"),
        ("owner/ann", {"rate": 5, "rate_period_s": 1}, "/rate"),
        ("owner/ann", {"paused": True}, "/paused"),
        ("all/ann", {"max_running": 1}, "/path/name"),
        ("kind/*", {"max_running": 1}, "/path/name"),
        ("kind/metrics", {"max_running": 0}, "/max_running"),
        ("kind/metrics", {"color": 1}, "/color"),
        ("kind/a%00b", {"max_running": 1}, "/path/name"),
    ],
)
async def test_a_limit_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    answer = await client.put(f"/queue/limits/{path}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_unknown_scope_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.put("/queue/limits/planet/mars", json={"max_running": 1})
    assert answer.status_code == 422, answer.text


async def test_only_admins_stop_and_limit(client: httpx.AsyncClient, database: Database) -> None:
    answers = {}
    for scopes in ([Scope.READ, Scope.WRITE], [Scope.ADMIN]):
        token, key = make_key("ann", scopes)
        await add_key(database, key)
        headers = {"Authorization": f"Bearer {token}"}
        answers[scopes[0]] = [
            (await client.post("/queue/pause", headers=headers)).status_code,
            (await client.post("/queue/resume", headers=headers)).status_code,
            (await client.get("/queue/limits", headers=headers)).status_code,
            (await client.put("/queue/limits/owner/bob", json={"max_running": 1}, headers=headers)).status_code,
            (await client.delete("/queue/limits/owner/bob", headers=headers)).status_code,
            (await client.get("/queue", headers=headers)).status_code,
        ]
    assert answers == {Scope.READ: [403] * 5 + [200], Scope.ADMIN: [200, 200, 200, 200, 204, 200]}
