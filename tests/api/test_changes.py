"""Promise: a change made on an old look is refused, and a dataset goes when its owner said, but not earlier."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.domain.outcome import Canceled
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.clearer import Clearer
from tests.api.queue_side import claim, make_ready, settle

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
LATER = "2100-01-01T00:00:00Z"


@pytest.fixture
async def dataset(client: httpx.AsyncClient, database: Database) -> AsyncIterator[Any]:
    yield (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, job_events, lost_attempts, api_keys CASCADE")


async def test_a_patch_changes_what_it_names_and_nothing_else(client: httpx.AsyncClient, dataset: Any) -> None:
    path = dataset["links"]["self"]
    first = await client.patch(path, json={"name": " Towns ", "labels": {"site": "north", "draft": "yes"}})
    assert first.status_code == 200, first.text
    kept = ("name", "labels", "expires_at", "updated_at", "links")
    same = {name: value for name, value in dataset.items() if name not in kept}
    assert {name: value for name, value in first.json().items() if name not in kept} == same
    assert (first.json()["name"], first.json()["labels"]) == ("Towns", {"site": "north", "draft": "yes"})
    media_type = {"Content-Type": "application/merge-patch+json"}
    second = await client.patch(path, content=b'{"labels": {"draft": null, "x": ""}}', headers=media_type)
    assert second.json()["labels"] == {"site": "north", "x": ""}
    third = (await client.patch(path, json={"expires_at": LATER})).json()
    assert (third["expires_at"], third["labels"]) == (LATER, {"site": "north", "x": ""})
    fourth = (await client.patch(path, json={"expires_at": None, "labels": None})).json()
    assert (fourth["expires_at"], fourth["labels"]) == (None, {})
    assert (await client.get(path)).json() == fourth
    assert (await client.patch(path, json={})).json() == fourth, "nothing asked for, nothing touched"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "  "}, "/name"),
        ({"name": None}, "/name"),
        ({"labels": {"a": 1}}, "/labels"),
        ({"labels": {str(n): "" for n in range(33)}}, "/labels"),
        ({"labels": {"": "a"}}, "/labels"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "/expires_at"),
        ({"format": "csv"}, "/format"),
    ],
)
async def test_a_patch_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, dataset: Any, body: Any, pointer: str
) -> None:
    answer = await client.patch(dataset["links"]["self"], json=body)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_of_many_who_changed_what_they_saw_one_wins(client: httpx.AsyncClient, dataset: Any) -> None:
    path = dataset["links"]["self"]
    etag = (await client.get(path)).headers["ETag"]
    match = {"If-Match": f'"other", {etag}'}
    changes = [client.patch(path, json={"name": f"name {n}"}, headers=match) for n in range(6)]
    answers = await asyncio.gather(*changes)
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    now = await client.get(path, headers={"If-None-Match": etag})
    assert (now.json(), now.headers["ETag"]) == (winner.json(), winner.headers["ETag"])
    assert (await client.get(path, headers={"If-None-Match": now.headers["ETag"]})).status_code == 304
    loser = next(answer for answer in answers if answer.status_code == 412)
    assert loser.json()["type"] == "urn:gristmill:problem:precondition-failed"


async def test_what_was_changed_is_not_deleted_by_an_old_look(
    client: httpx.AsyncClient, dataset: Any, database: Database
) -> None:
    path = dataset["links"]["self"]
    etag = (await client.get(path)).headers["ETag"]
    await make_ready(database, dataset["links"]["ingest_job"])
    assert (await client.delete(path, headers={"If-Match": etag})).status_code == 412, "its ingest changed it"
    etag = (await client.get(path)).headers["ETag"]
    assert (await client.delete(path, headers={"If-Match": f"W/{etag}"})).status_code == 412, "weak tags never match"
    assert (await client.delete(path, headers={"If-Match": etag})).status_code == 204
    assert (await client.delete(path, headers={"If-Match": "*"})).status_code == 404


async def test_a_forced_delete_with_a_match_cancels_ingest(client: httpx.AsyncClient, dataset: Any) -> None:
    path = dataset["links"]["self"]
    etag = (await client.get(path)).headers["ETag"]
    assert (await client.delete(f"{path}?force=true", headers={"If-Match": etag})).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_another_owners_dataset_is_not_changed(
    client: httpx.AsyncClient, dataset: Any, database: Database
) -> None:
    for scopes, status in (((Scope.READ, Scope.WRITE), 404), ((Scope.READ,), 403)):
        token, key = make_key("eve", scopes)
        await add_key(database, key)
        headers = {"Authorization": f"Bearer {token}", "If-Match": "*"}
        answer = await client.patch(dataset["links"]["self"], json={"name": "mine"}, headers=headers)
        assert answer.status_code == status


async def test_an_expired_dataset_goes_when_no_job_needs_it(
    client: httpx.AsyncClient, dataset: Any, database: Database, store: ObjectStore, settings: Settings
) -> None:
    path = dataset["links"]["self"]
    other = (await client.post("/datasets", files={"file": ("stays.csv", CSV)})).json()
    await make_ready(database, dataset["links"]["ingest_job"])
    job = (await client.post("/jobs", json={"kind": "metrics", "dataset_id": dataset["id"]})).json()["id"]
    await client.patch(path, json={"expires_at": LATER})
    clearer = Clearer(settings.model_copy(update={"sweep_grace_s": 0.0}), database, store)
    assert (await clearer.run_once())["expired"] == 0
    async with database.driver() as driver:
        await driver.execute("UPDATE datasets SET expires_at = now() WHERE id = $1", UUID(dataset["id"]))
    assert (await clearer.run_once())["expired"] == 0, "a job is to read it"
    claimed = await claim(database, job)
    assert (await clearer.run_once())["expired"] == 0, "a job reads it"
    await settle(database, claimed, Canceled())
    assert await clearer.run_once() == {"expired": 1, "datasets": 1, "objects": 1}
    assert (await client.get(path)).status_code == 404
    assert (await client.get(other["links"]["self"])).status_code == 200
