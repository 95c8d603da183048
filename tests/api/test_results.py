"""Promise: a completed job's files download by their URLs; a job without a result says why."""

import hashlib

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData, InternalError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import REPORT, TABLE, claim, complete, make_ready, settle

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


@pytest.fixture
async def job_id(client: httpx.AsyncClient, database: Database) -> str:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).json()
    await make_ready(database, made["links"]["ingest_job"])
    job = (await client.post("/jobs", json={"kind": "metrics", "dataset_id": made["id"], "reuse": "none"})).json()
    return str(job["id"])


async def test_the_files_of_a_result_download(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings, job_id: str
) -> None:
    await complete(database, store, settings, job_id)
    answer = await client.get(f"/jobs/{job_id}/result")
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert [file["name"] for file in result["files"]] == ["report.json", "t.parquet"]
    assert result["report"] == {"rows": 2}
    assert (result["rows_in"], result["rows_out"], result["rows_dropped"]) == (3, 2, 1)
    assert (result["media_type"], result["rows"], result["sha256"]) == (
        "application/vnd.apache.parquet",
        2,
        hashlib.sha256(TABLE).hexdigest(),
    )
    assert result["uri"].startswith("s3://")
    async with httpx.AsyncClient() as anyone:
        for file, content in zip(result["files"], (REPORT, TABLE), strict=True):
            got = await anyone.get(file["url"])
            assert got.content == content
            assert hashlib.sha256(got.content).hexdigest() == file["sha256"]
            assert "attachment" in got.headers["Content-Disposition"]


async def test_a_document_becomes_an_object_once_somebody_asks_where_it_is(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings, job_id: str
) -> None:
    made = await complete(database, store, settings, job_id)
    assert [key async for key in store.list_keys(made.bucket, made.prefix)] == [f"{made.prefix}t.parquet"]
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/events", f"/jobs/{job_id}/result?redirect=true"):
        await client.get(path)
    assert [key async for key in store.list_keys(made.bucket, made.prefix)] == [f"{made.prefix}t.parquet"]
    await client.get(f"/jobs/{job_id}/result")
    first = [found async for found in store.list_objects(made.bucket, made.prefix)]
    assert [found.key for found in first] == [f"{made.prefix}report.json", f"{made.prefix}t.parquet"]
    assert await store.read(made.bucket, f"{made.prefix}report.json") == REPORT
    await client.get(f"/jobs/{job_id}/result")
    async with ObjectStore.open(settings) as another:  # of another process, which has not seen it
        await another.settle(made.bucket, made.files)
    assert [found async for found in store.list_objects(made.bucket, made.prefix)] == first, "it is written once"


async def test_a_redirect_leads_to_the_main_file(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings, job_id: str
) -> None:
    await complete(database, store, settings, job_id)
    answer = await client.get(f"/jobs/{job_id}/result", params={"redirect": "true"})
    assert answer.status_code == 303
    async with httpx.AsyncClient() as anyone:
        assert (await anyone.get(answer.headers["Location"])).content == TABLE


async def test_a_result_that_is_not_ready_says_when_to_look_again(
    client: httpx.AsyncClient, database: Database, job_id: str
) -> None:
    pending = await client.get(f"/jobs/{job_id}/result")
    await claim(database, job_id)
    running = await client.get(f"/jobs/{job_id}/result")
    for answer in (pending, running):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:gristmill:problem:result-not-ready")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_failed_job_answers_with_its_own_problem(
    client: httpx.AsyncClient, database: Database, job_id: str
) -> None:
    await settle(database, await claim(database, job_id), Failed(BadData("All rows are rejected.").problem()))
    answer = await client.get(f"/jobs/{job_id}/result")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:gristmill:problem:bad-data")
    assert answer.json() == (await client.get(f"/jobs/{job_id}")).json()["error"]


async def test_a_job_that_died_of_a_defect_is_no_failure_of_this_request(
    client: httpx.AsyncClient, database: Database, job_id: str
) -> None:
    await settle(database, await claim(database, job_id), Failed(InternalError("It is in the log.").problem()))
    answer = await client.get(f"/jobs/{job_id}/result")
    assert (answer.status_code, answer.json()["status"]) == (409, 409)
    assert answer.json()["type"] == "urn:gristmill:problem:internal-error"


async def test_a_canceled_job_has_no_result(client: httpx.AsyncClient, job_id: str) -> None:
    await client.post(f"/jobs/{job_id}/cancel")
    answer = await client.get(f"/jobs/{job_id}/result")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:gristmill:problem:canceled")
    assert "Retry-After" not in answer.headers


async def test_no_job_no_result(client: httpx.AsyncClient) -> None:
    for path in ("result", "events"):
        assert (await client.get(f"/jobs/01900000-0000-7000-8000-000000000000/{path}")).status_code == 404
