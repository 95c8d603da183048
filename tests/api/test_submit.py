"""Promise: jobs are taken one or many at a time, on datasets or on each other's results, and the same work once."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import claim, complete, make_ready, settle

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


@pytest.fixture
async def dataset_id(client: httpx.AsyncClient, database: Database) -> AsyncIterator[str]:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    await make_ready(database, made["links"]["ingest_job"])
    yield made["id"]
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs CASCADE")


async def submit(client: httpx.AsyncClient, kind: str = "anomalies", **more: Any) -> httpx.Response:
    return await client.post("/jobs", json={"kind": kind, **more})


async def test_a_job_on_a_jobs_result_waits_for_it(client: httpx.AsyncClient, dataset_id: str) -> None:
    first = (await submit(client, dataset_id=dataset_id)).json()
    answer = await submit(client, "metrics", input={"job_id": first["id"]})
    assert answer.status_code == 202, answer.text
    second = answer.json()
    assert (second["input_job_id"], second["waits_for"]) == (first["id"], first["id"])
    assert (second["dataset_id"], second["waits_for_dataset"]) == (dataset_id, False)
    assert second["links"]["input"] == f"/jobs/{first['id']}"


async def test_what_can_be_no_input_is_told_at_once(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    metrics = (await submit(client, "metrics", dataset_id=dataset_id)).json()
    no_rows = await submit(client, input={"job_id": metrics["id"]})
    assert (no_rows.status_code, no_rows.json()["errors"][0]["pointer"]) == (422, "/input/job_id")
    assert (await submit(client, input={"job_id": str(uuid4())})).status_code == 404
    both = await submit(client, input={"job_id": metrics["id"], "dataset_id": dataset_id})
    assert (both.status_code, both.json()["errors"][0]["pointer"]) == (422, "/input")
    failed = (await submit(client, dataset_id=dataset_id)).json()
    await settle(database, await claim(database, failed["id"]), Failed(BadData("no").problem()))
    answer = await submit(client, input={"job_id": failed["id"]})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "input-failed")


async def test_identical_work_is_done_once(
    client: httpx.AsyncClient, dataset_id: str, database: Database, store: ObjectStore, settings: Settings
) -> None:
    body = {"dataset_id": dataset_id, "params": {"method": "zscore"}}
    first, twin = [(await submit(client, "anomalies", **body)).json() for _ in range(2)]
    assert (first["reused_from"], twin["reused_from"], twin["waits_for"]) == (None, first["id"], first["id"])
    other = (await submit(client, "anomalies", **body, reuse="none")).json()
    assert (other["reused_from"], other["waits_for"]) == (None, None)
    await complete(database, store, settings, first["id"])
    done = (await client.get(f"/jobs/{twin['id']}")).json()
    assert done["status"] == "completed"
    later = (await submit(client, "anomalies", **body)).json()
    assert (later["status"], later["reused_from"]) == ("completed", first["id"])
    results = [(await client.get(f"/jobs/{job['id']}/result")).json() for job in (first, twin, later)]
    assert len({result["files"][0]["sha256"] for result in results}) == 1


async def test_the_format_of_a_result_is_part_of_the_work_and_decides_who_can_take_it(
    client: httpx.AsyncClient, dataset_id: str
) -> None:
    made = {}
    for form in ("parquet", "csv", "ndjson", "arrow"):
        made[form] = (await submit(client, dataset_id=dataset_id, params={"output_format": form})).json()
        assert made[form]["reused_from"] is None, form
        answer = await submit(client, "metrics", input={"job_id": made[form]["id"]})
        if form == "parquet":
            assert answer.status_code == 202
        else:
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/input/job_id"), form
    answer = await submit(client, "metrics", dataset_id=dataset_id, params={"output_format": "csv"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/params/output_format")


async def test_a_batch_is_submitted_in_order(client: httpx.AsyncClient, dataset_id: str) -> None:
    jobs = [{"kind": "metrics", "dataset_id": dataset_id, "priority": n % 100, "reuse": "none"} for n in range(1000)]
    answer = await client.post("/jobs:batch", json={"jobs": jobs})
    assert answer.status_code == 202, answer.text
    assert [item["priority"] for item in answer.json()["items"]] == [n % 100 for n in range(1000)]


async def test_a_batch_with_faults_submits_nothing_and_points_at_each(
    client: httpx.AsyncClient, dataset_id: str
) -> None:
    good = {"kind": "metrics", "dataset_id": dataset_id}
    bad = [
        {**good, "params": {"columns": ["nope"]}},
        {**good, "kind": "magic"},
        {**good, "dataset_id": str(uuid4())},
    ]
    answer = await client.post("/jobs:batch", json={"jobs": [good, *bad]})
    assert answer.status_code == 422
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["/jobs/1/params/columns/0", "/jobs/2", "/jobs/3"]
    assert (await client.get("/jobs")).json()["items"] == []
    for jobs in ([], [good] * 1001):
        assert (await client.post("/jobs:batch", json={"jobs": jobs})).status_code == 422


async def test_a_failed_job_runs_again_when_asked(
    client: httpx.AsyncClient, dataset_id: str, database: Database
) -> None:
    job = (await submit(client, dataset_id=dataset_id)).json()
    early = await client.post(f"/jobs/{job['id']}/retry")
    assert (early.status_code, early.json()["type"].rpartition(":")[2]) == (409, "conflict")
    await settle(database, await claim(database, job["id"]), Failed(BadData("no").problem()))
    assert (await client.get(f"/jobs/{job['id']}")).json()["links"]["retry"] == f"/jobs/{job['id']}/retry"
    answer = await client.post(f"/jobs/{job['id']}/retry")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (202, "pending", None)
    assert (await client.post(f"/jobs/{uuid4()}/retry")).status_code == 404


async def test_a_limit_key_is_kept(client: httpx.AsyncClient, dataset_id: str) -> None:
    assert (await submit(client, dataset_id=dataset_id, limit_key="warehouse")).json()["limit_key"] == "warehouse"
    for key in ("x" * 201, "a\0b"):
        answer = await submit(client, dataset_id=dataset_id, limit_key=key)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/limit_key")


async def planned(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/jobs?validate_only=true", json=body, headers={"Idempotency-Key": "k"})


async def test_a_job_that_is_only_validated_is_not_made(client: httpx.AsyncClient, dataset_id: str) -> None:
    params = {"steps": [{"op": "fill_nulls", "strategy": "mean"}, {"op": "scale", "method": "minmax"}]}
    answer = await planned(client, kind="normalize", dataset_id=dataset_id, params=params)
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert plan["steps"] == [
        {"op": "fill_nulls", "columns": ["temperature"]},
        {"op": "scale", "columns": ["temperature"]},
    ]
    assert plan["params"]["steps"][1]["range"] == [0, 1], "defaults are filled in"
    assert (plan["dataset_id"], plan["reuses"], plan["max_attempts"]) == (dataset_id, None, 5)
    assert (await client.get("/jobs")).json()["items"] == []
    made = (await submit(client, "normalize", dataset_id=dataset_id, params=params)).json()
    assert (await planned(client, kind="normalize", dataset_id=dataset_id, params=params)).json()["reuses"] == made[
        "id"
    ]
    on_result = (await planned(client, kind="metrics", input={"job_id": made["id"]})).json()
    assert (on_result["input_job_id"], on_result["steps"]) == (made["id"], None)
    assert (await client.post(f"/jobs/{made['id']}/cancel")).status_code == 200
    assert (await planned(client, kind="metrics", input={"job_id": made["id"]})).status_code == 409
    for kind in ("metrics", "anomalies"):
        told = (await planned(client, kind=kind, dataset_id=dataset_id)).json()
        assert "temperature" in told["steps"][0]["columns"]
    assert len((await client.get("/jobs")).json()["items"]) == 1


async def test_what_would_be_refused_is_refused_so(client: httpx.AsyncClient, dataset_id: str) -> None:
    for body in (
        {"kind": "magic", "dataset_id": dataset_id},
        {"kind": "metrics", "dataset_id": dataset_id, "params": {"columns": ["x"]}},
        {"kind": "metrics", "dataset_id": str(uuid4())},
        {"kind": "metrics"},
    ):
        real, dry = await submit(client, **body), await planned(client, **body)
        assert (dry.status_code, dry.json()) == (real.status_code, real.json())
        assert dry.status_code >= 400


@pytest.mark.parametrize("params", [{"method": "zscore"}, {"columns": ["no such"]}])
async def test_a_dataset_that_was_removed_since_it_was_seen_is_not_found(
    client: httpx.AsyncClient, dataset_id: str, database: Database, params: dict[str, Any]
) -> None:
    seen = await submit(client, dataset_id=dataset_id)
    again = await submit(client, dataset_id=dataset_id, params={"method": "iqr"})
    assert (seen.status_code, again.status_code) == (202, 202)
    assert (await client.delete(f"/datasets/{dataset_id}", params={"force": "true"})).status_code == 204
    async with database.driver() as driver:
        before = await driver.fetchval("SELECT count(*) FROM jobs")
    gone = await submit(client, dataset_id=dataset_id, params=params)
    assert (gone.status_code, gone.json()["type"].rpartition(":")[2]) == (404, "not-found")
    async with database.driver() as driver:
        assert await driver.fetchval("SELECT count(*) FROM jobs") == before


async def test_params_are_checked_against_the_columns_that_were_seen(
    client: httpx.AsyncClient, dataset_id: str
) -> None:
    answers = [await submit(client, dataset_id=dataset_id, params={"columns": ["no such"]}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json()["errors"] == answers[1].json()["errors"]
