"""Promise: what a user removes is gone, with its objects, whatever dies meanwhile; what others need stays."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.db.removal import remove_job
from gristmill.domain.key import Scope, make_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.sweeper import Sweeper
from tests.api.queue_side import claim, complete, make_ready

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
