"""Promise: a dataset comes in by presigned URLs, from a bucket or from a job too, once, and only as it was meant."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.domain.manifest import original_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.sweeper import Sweeper
from tests.api.queue_side import claim, complete, make_ready

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
MIB = 1024 * 1024
PART = 16 * MIB


@pytest.fixture(autouse=True)
async def cleared(database: Database) -> AsyncIterator[None]:
    yield
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, job_events, uploads, idempotency_keys, api_keys CASCADE")


async def begin(client: httpx.AsyncClient, size: int, *, query: str = "", key: str | None = None, **more: Any) -> Any:
    body = {"name": "big.csv", "upload": "presigned", "size_bytes": size, **more}
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await client.post(f"/datasets{query}", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def send(part: Any, content: bytes) -> dict[str, Any]:
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.put(part["url"], content=content)
    assert answer.status_code == 200, answer.text
    return {"number": part["number"], "etag": answer.headers["ETag"]}


async def count(database: Database, table: str) -> int:
    async with database.driver() as driver:
        return int(await driver.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names


async def test_a_presigned_upload_is_resumed_and_completed(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    content = CSV + b"Rome,12\n" * 2_200_000  # two parts
    labels = {"site": "north"}
    upload = await begin(client, len(content), query="?job=metrics", labels=labels, options={"strict": True})
    assert [part["size_bytes"] for part in upload["parts"]] == [PART, len(content) - PART]
    second = await send(upload["parts"][1], content[PART:])
    assert (await client.get(f"/datasets/{upload['id']}")).status_code == 404, "it is no dataset yet"
    early = await client.post(upload["links"]["complete"], json={"parts": [second]})
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/parts")
    resumed = (await client.get(upload["links"]["self"])).json()
    assert [part["etag"] for part in resumed["parts"]] == [None, second["etag"]]
    first = await send(resumed["parts"][0], content[:PART])
    wrong = await client.post(upload["links"]["complete"], json={"parts": [{"number": 1, "etag": '"0"'}, second]})
    assert [fault["pointer"] for fault in wrong.json()["errors"]] == ["/parts/0/etag"]
    done = await client.post(upload["links"]["complete"], json={"parts": [first, second]})
    assert done.status_code == 200, done.text
    dataset = done.json()
    assert (dataset["id"], dataset["status"], dataset["sha256"]) == (upload["id"], "validating", None)
    assert (dataset["size_bytes"], dataset["labels"], dataset["options"]) == (len(content), labels, {"strict": True})
    assert set(dataset["links"]) >= {"ingest_job", "job"}
    stored = await store.read(settings.s3_datasets_bucket, original_key(dataset["id"]), max_bytes=64 * MIB)
    assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
    again = await client.post(upload["links"]["complete"], json={"parts": [first, second]})
    assert (again.status_code, again.json()["id"]) == (200, dataset["id"])
    assert (await count(database, "uploads"), await count(database, "datasets")) == (0, 1)
    assert (await client.get(upload["links"]["self"])).status_code == 404


async def test_urls_come_in_pages(client: httpx.AsyncClient, settings: Settings) -> None:
    upload = await begin(client, 20 * MIB)
    page = (await client.get(upload["links"]["self"], params={"limit": 1})).json()
    assert ([part["number"] for part in page["parts"]], page["next"], page["parts_total"]) == ([1], 1, 2)
    page = (await client.get(upload["links"]["self"], params={"limit": 1, "after": 1})).json()
    assert [(part["number"], part["size_bytes"]) for part in page["parts"]] == [(2, 4 * MIB)]
    assert "next" not in page
    too_large = {"name": "a.csv", "upload": "presigned", "size_bytes": settings.max_upload_bytes + 1}
    assert (await client.post("/datasets", json=too_large)).status_code == 413


async def test_an_upload_begun_twice_with_a_key_is_one(client: httpx.AsyncClient, database: Database) -> None:
    upload = await begin(client, len(CSV), key="k")
    again = await begin(client, len(CSV), key="k")
    assert again["id"] == upload["id"]
    sent = await send(again["parts"][0], CSV)
    assert await count(database, "uploads") == 1
    await client.post(upload["links"]["complete"], json={"parts": [sent]})
    after = await begin(client, len(CSV), key="k")
    assert (after["id"], after["parts"]) == (upload["id"], [])
    other = {"name": "big.csv", "upload": "presigned", "size_bytes": 5}
    answer = await client.post("/datasets", json=other, headers={"Idempotency-Key": "k"})
    assert answer.json()["type"] == "urn:gristmill:problem:idempotency-key-reused"


async def test_an_upload_that_is_given_up_leaves_nothing(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    aborted, abandoned, live = [await begin(client, len(CSV)) for _ in range(3)]
    for upload in (aborted, abandoned, live):
        await send(upload["parts"][0], CSV)
    token, key = make_key("eve", (Scope.READ, Scope.WRITE))
    assert (await client.delete(aborted["links"]["self"])).status_code == 204
    async with database.driver() as driver:
        await driver.execute("UPDATE uploads SET touched_at = now() - interval '1 day'")
        await driver.execute("UPDATE uploads SET expires_at = now() WHERE id = $1", UUID(abandoned["id"]))
    assert (await Sweeper(settings, database, store).run_once())["uploads"] == 1
    bucket = settings.s3_datasets_bucket
    for upload in (aborted, abandoned):
        assert [one async for one in store.list_uploads(bucket, f"{upload['id']}/")] == []
        complete = {"parts": [{"number": 1, "etag": "x"}]}
        assert (await client.post(upload["links"]["complete"], json=complete)).status_code == 404
    await add_key(database, key)
    eve = {"Authorization": f"Bearer {token}"}
    assert (await client.get(live["links"]["self"], headers=eve)).status_code == 404
    assert (await client.delete(live["links"]["self"], headers=eve)).status_code == 404
    assert [one async for one in store.list_uploads(bucket, f"{live['id']}/")]


async def test_a_jobs_rows_become_a_dataset(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).json()
    await make_ready(database, made["links"]["ingest_job"])
    submitted = await client.post("/jobs", json={"kind": "normalize", "dataset_id": made["id"], "params": PARAMS})
    job = submitted.json()["id"]
    body = {"name": "clean", "from_job": job, "labels": {"a": "b"}}
    early = await client.post("/datasets", json=body)
    assert (early.status_code, early.json()["type"]) == (409, "urn:gristmill:problem:result-not-ready")
    await complete(database, store, settings, job)
    headers = {"Idempotency-Key": "from"}
    answer = await client.post("/datasets?job=metrics", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert (dataset["format"], dataset["labels"], dataset["sha256"]) == ("parquet", {"a": "b"}, None)
    again = await client.post("/datasets?job=metrics", json=body, headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (dataset, "true")
    assert await count(database, "datasets") == 2
    ingest = (await client.get(dataset["links"]["ingest_job"])).json()
    assert (ingest["kind"], ingest["input_job_id"]) == ("ingest", job)
    assert (await client.delete(f"/jobs/{job}")).status_code == 409, "its result is to be read still"
    await claim(database, ingest["id"])
    assert (await client.delete(f"/jobs/{job}")).status_code == 409


async def test_what_cannot_become_a_dataset_is_refused(client: httpx.AsyncClient, database: Database) -> None:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).json()
    job = (await client.post("/jobs", json={"kind": "metrics", "dataset_id": made["id"]})).json()["id"]
    await client.post(f"/jobs/{job}/cancel")
    before = await count(database, "datasets")
    for body, status, pointer in (
        ({"name": "a", "from_job": job}, 409, None),
        ({"name": "a", "from_job": str(uuid4())}, 404, None),
        ({"name": "a", "source": "s3://datasets/x.csv"}, 422, "/source"),
        ({"name": "a", "source": "http://host/x.csv"}, 422, "/source"),
        ({"name": "a", "source": "s3://b/x", "upload": "presigned"}, 422, ""),
        ({"name": "a"}, 422, ""),
        ({"name": "a", "upload": "presigned", "size_bytes": 0, "format": "csv"}, 422, "/size_bytes"),
        ({"name": "a", "upload": "presigned", "size_bytes": 5}, 415, None),
        ({"name": "a.csv", "upload": "presigned", "size_bytes": 5, "options": {"strict": 1}}, 422, "/options/strict"),
        ({"name": "a.csv", "upload": "presigned", "size_bytes": 5, "expires_at": "2020-01-01T00:00:00Z"}, 422, None),
    ):
        answer = await client.post("/datasets", json=body)
        assert answer.status_code == status, (body, answer.text)
        if pointer is not None:
            assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    array = await client.post(
        "/datasets?name=rows", content=b'\n [{"a": 1}]', headers={"Content-Type": "application/json"}
    )
    assert (array.status_code, array.json()["format"]) == (201, "json"), "an array is data"
    cut = await client.post("/datasets", content=b'{"name": ', headers={"Content-Type": "application/json"})
    assert cut.status_code == 400
    assert (await count(database, "datasets"), await count(database, "uploads")) == (before + 1, 0)


PARAMS = {"steps": [{"op": "fill_nulls", "strategy": "mean"}]}
