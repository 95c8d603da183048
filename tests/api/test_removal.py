"""Promise: what a user removes is gone, with its objects, whatever dies meanwhile; what others need stays."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from gristmill.db.datasets import get_dataset
from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.db.removal import remove_job
from gristmill.domain.key import Scope, make_key
from gristmill.domain.outcome import Canceled
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.clearer import Clearer
from gristmill.worker.sweeper import Sweeper
from tests.api.queue_side import claim, complete, make_ready, settle

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


@pytest.fixture
async def dataset(client: httpx.AsyncClient, database: Database) -> AsyncIterator[Any]:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    await make_ready(database, made["links"]["ingest_job"])
    yield made
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, job_events, lost_attempts, api_keys CASCADE")


async def submit(client: httpx.AsyncClient, **more: Any) -> str:
    return str((await client.post("/jobs", json={"kind": "anomalies", **more})).raise_for_status().json()["id"])


async def keys(store: ObjectStore, settings: Settings, job_id: str) -> list[str]:
    return [key async for key in store.list_keys(settings.s3_job_results_bucket, f"results/{job_id}/")]


async def refused(client: httpx.AsyncClient, job_id: str) -> str:
    answer = await client.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:gristmill:problem:conflict")
    return str(answer.json()["detail"])


async def test_a_job_goes_with_its_history_and_its_result(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    await complete(database, store, settings, job_id)
    assert (await client.get(f"/jobs/{job_id}/result")).status_code == 200
    assert len(await keys(store, settings, job_id)) == 2
    answer = await client.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await keys(store, settings, job_id) == []
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/events", f"/jobs/{job_id}/result"):
        assert (await client.get(path)).status_code == 404, path
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 404
    async with database.driver() as driver:
        assert await driver.fetchval("SELECT count(*) FROM job_events WHERE job_id = $1::text::uuid", job_id) == 0


async def test_objects_go_even_if_nobody_removes_them_at_once(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    made = await complete(database, store, settings, job_id)
    assert (await client.get(f"/jobs/{job_id}/result")).status_code == 200
    (row,) = (await client.get("/jobs?limit=1")).json()["items"]
    removed = await remove_job(database, row["id"], owner="local")  # and the process dies
    assert removed is not None
    assert made.prefix == f"results/{job_id}/{removed.leases[0]}/"
    assert len(await keys(store, settings, job_id)) == 2
    await Sweeper(settings.model_copy(update={"sweep_grace_s": 0.0}), database, store).run_once()
    assert await keys(store, settings, job_id) == []


async def test_a_job_that_is_not_final_stays(client: httpx.AsyncClient, dataset: Any, database: Database) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    assert "pending" in await refused(client, job_id)
    await claim(database, job_id)
    assert "running" in await refused(client, job_id)
    other = await submit(client, dataset_id=dataset["id"], reuse="none")
    await client.post(f"/jobs/{other}/cancel")
    assert (await client.delete(f"/jobs/{other}")).status_code == 204, "a canceled job has nothing to remove"
    assert "dataset" in await refused(client, dataset["links"]["ingest_job"].rpartition("/")[2])


async def test_what_others_need_stays(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    await complete(database, store, settings, job_id)
    assert (await client.get(f"/jobs/{job_id}/result")).status_code == 200
    taker = await submit(client, input={"job_id": job_id})
    assert "waits" in await refused(client, job_id)
    await client.post(f"/jobs/{taker}/cancel")
    twin = await submit(client, dataset_id=dataset["id"])
    assert (await client.get(f"/jobs/{twin}")).json()["reused_from"] == job_id
    assert "shares" in await refused(client, job_id)
    assert (await client.delete(f"/jobs/{twin}")).status_code == 204
    assert len(await keys(store, settings, job_id)) == 2, "a twin has no objects of its own"
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    again = await submit(client, dataset_id=dataset["id"])
    assert (await client.get(f"/jobs/{again}")).json()["status"] == "pending"


async def test_another_owners_job_is_not_there(client: httpx.AsyncClient, dataset: Any, database: Database) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    await client.post(f"/jobs/{job_id}/cancel")
    for scopes, status in (((Scope.READ, Scope.WRITE), 404), ((Scope.READ,), 403)):
        token, key = make_key("eve", scopes)
        await add_key(database, key)
        answer = await client.delete(f"/jobs/{job_id}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


async def stored(store: ObjectStore, settings: Settings, dataset_id: str) -> list[str]:
    return [key async for key in store.list_keys(settings.s3_datasets_bucket, f"{dataset_id}/")]


async def test_a_dataset_goes_and_its_results_stay(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    job_id = await submit(client, dataset_id=dataset["id"])
    await complete(database, store, settings, job_id)
    assert len(await stored(store, settings, dataset["id"])) == 1
    path = f"/datasets/{dataset['id']}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await stored(store, settings, dataset["id"]) == []
    assert (await client.get(path)).status_code == (await client.delete(path)).status_code == 404
    assert (await client.get("/datasets")).json()["items"] == []
    refusal = await client.post("/jobs", json={"kind": "metrics", "dataset_id": dataset["id"]})
    assert refusal.status_code == 404
    assert (await client.get(f"/jobs/{job_id}/result")).status_code == 200
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    async with database.driver() as driver:
        left = await driver.fetchrow("SELECT name, columns, profile, manifest FROM datasets")
    assert left is not None
    assert tuple(left) == ("", None, None, None), "a stub has nothing of the data"


async def test_a_dataset_with_work_on_it_stays_unless_forced(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    running = await submit(client, dataset_id=dataset["id"])
    claimed = await claim(database, running)
    waiting = await submit(client, input={"job_id": running})
    pending = await submit(client, dataset_id=dataset["id"], reuse="none")
    path = f"/datasets/{dataset['id']}"
    refusal = await client.delete(path)
    assert (refusal.status_code, refusal.json()["type"]) == (409, "urn:gristmill:problem:conflict")
    assert (await client.get(path)).json()["status"] == "ready"
    assert (await client.delete(f"{path}?force=true")).status_code == 204
    statuses = {}
    for job_id in (running, waiting, pending):
        job = (await client.get(f"/jobs/{job_id}")).json()
        statuses[job_id] = (job["status"], job["cancel_requested_at"] is not None)
    assert statuses == {running: ("running", True), waiting: ("canceled", True), pending: ("canceled", True)}
    await store.put(settings.s3_datasets_bucket, f"{dataset['id']}/parts/9/late", b"x", "text/plain")
    clearer = Clearer(settings.model_copy(update={"sweep_grace_s": 0.0}), database, store)
    assert await clearer.run_once() == {"expired": 0, "datasets": 0, "objects": 0}, "the canceled job runs still"
    await settle(database, claimed, Canceled())
    assert await clearer.run_once() == {"expired": 0, "datasets": 1, "objects": 1}
    assert await clearer.run_once() == {"expired": 0, "datasets": 0, "objects": 0}
    assert await stored(store, settings, dataset["id"]) == []
    again = await client.post(f"/jobs/{pending}/retry")
    assert (again.status_code, again.json()["type"]) == (409, "urn:gristmill:problem:dataset-failed")


async def test_a_dataset_goes_while_it_is_read(client: httpx.AsyncClient, database: Database) -> None:
    made = (await client.post("/datasets?job=metrics", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    assert (await client.delete(f"/datasets/{made['id']}")).status_code == 409
    assert (await client.delete(f"/datasets/{made['id']}?force=true")).status_code == 204
    for link in ("ingest_job", "job"):
        assert (await client.get(made["links"][link])).json()["status"] == "canceled"
    again = await client.post(f"{made['links']['ingest_job']}/retry")
    assert (again.status_code, again.json()["type"]) == (409, "urn:gristmill:problem:dataset-failed")


async def test_another_owners_dataset_is_not_there(client: httpx.AsyncClient, dataset: Any, database: Database) -> None:
    token, key = make_key("eve", (Scope.READ, Scope.WRITE))
    await add_key(database, key)
    path = f"/datasets/{dataset['id']}?force=true"
    assert (await client.delete(path, headers={"Authorization": f"Bearer {token}"})).status_code == 404
    assert await get_dataset(database, UUID(dataset["id"]), owner="local") is not None


async def test_a_job_posted_meanwhile_is_refused_or_seen(
    client: httpx.AsyncClient, dataset: Any, database: Database
) -> None:
    body = {"kind": "metrics", "dataset_id": dataset["id"], "reuse": "none"}
    posts = [client.post("/jobs", json=body) for _ in range(12)]
    removal = client.delete(f"/datasets/{dataset['id']}?force=true")
    answers = await asyncio.gather(*posts[:6], removal, *posts[6:])
    removed = answers.pop(6)
    assert {answer.status_code for answer in answers} <= {202, 404, 409}
    assert removed.status_code in (204, 409)
    async with database.driver() as driver:
        live = await driver.fetchval("SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')")
    assert removed.status_code == 409 or live == 0


async def test_a_result_that_is_shared_meanwhile_stays(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    for _ in range(5):
        job_id = await submit(client, dataset_id=dataset["id"])
        await complete(database, store, settings, job_id)
        assert (await client.get(f"/jobs/{job_id}/result")).status_code == 200
        twin, removed = await asyncio.gather(submit(client, dataset_id=dataset["id"]), client.delete(f"/jobs/{job_id}"))
        shared = (await client.get(f"/jobs/{twin}")).json()["reused_from"]
        assert (shared, removed.status_code) in ((job_id, 409), (None, 204))
        assert len(await keys(store, settings, job_id)) == (2 if shared else 0)
        await client.post(f"/jobs/{twin}/cancel")
        await client.delete(f"/jobs/{twin}")
        await client.delete(f"/jobs/{job_id}")
