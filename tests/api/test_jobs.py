"""Promise: a job is checked when it is submitted, and can be followed, found and canceled until it is final."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from gristmill.db.claims import Heartbeat, send_heartbeats
from gristmill.db.engine import Database
from gristmill.domain.job import Progress
from gristmill.domain.outcome import Canceled, Failed, Retry
from gristmill.errors import ExecutorLost
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import claim, complete, make_failed, make_ready, settle

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


async def upload(client: httpx.AsyncClient) -> Any:
    answer = await client.post("/datasets", files={"file": ("towns.csv", CSV)})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def submit(client: httpx.AsyncClient, dataset_id: str, **more: Any) -> httpx.Response:
    return await client.post("/jobs", json={"kind": "metrics", "dataset_id": dataset_id, **more})


@pytest.fixture
async def dataset_id(client: httpx.AsyncClient, database: Database) -> AsyncIterator[str]:
    made = await upload(client)
    await make_ready(database, made["links"]["ingest_job"])
    yield made["id"]
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs CASCADE")


async def test_a_job_is_accepted(client: httpx.AsyncClient, dataset_id: str, settings: Settings) -> None:
    answer = await submit(client, dataset_id, priority=5, labels={"team": "a"}, timeout_s=60)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["Location"] == f"/jobs/{job['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert UUID(job["id"]).version == 7
    assert (job["status"], job["waits_for_dataset"], job["attempt"]) == ("pending", False, 0)
    assert (job["priority"], job["labels"], job["timeout_s"]) == (5, {"team": "a"}, 60)
    assert job["max_attempts"] == settings.max_attempts
    looked = await client.get(answer.headers["Location"])
    assert looked.json() == job
    assert looked.headers["Retry-After"] == "1"


async def test_the_dataset_may_be_given_as_input(client: httpx.AsyncClient, dataset_id: str) -> None:
    body = {"kind": "metrics", "input": {"dataset_id": dataset_id}}
    answer = await client.post("/jobs", json=body)
    assert (answer.status_code, answer.json()["dataset_id"]) == (202, dataset_id)
    two = await client.post("/jobs", json={**body, "dataset_id": "01900000-0000-7000-8000-000000000000"})
    assert (two.status_code, two.json()["errors"][0]["pointer"]) == (422, "/dataset_id")
    none = await client.post("/jobs", json={"kind": "metrics"})
    assert (none.status_code, none.json()["errors"][0]["pointer"]) == (422, "/dataset_id")


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"kind": "magic"}, 422, "unknown-kind", None),
        ({"kind": "ingest"}, 422, "unknown-kind", None),
        ({"kind": 5}, 422, "invalid-request", "/kind"),
        ({"kind": "metrics", "color": "red"}, 422, "invalid-request", "/color"),
        ({"kind": "metrics", "a/b~c": 1}, 422, "invalid-request", "/a~1b~0c"),
        ({"kind": "metrics", "priority": "5"}, 422, "invalid-request", "/priority"),
        ({"kind": "metrics", "priority": 101}, 422, "invalid-request", "/priority"),
        ({"kind": "metrics", "max_attempts": 0}, 422, "invalid-request", "/max_attempts"),
        ({"kind": "metrics", "timeout_s": 10**9}, 422, "invalid-request", "/timeout_s"),
        ({"kind": "metrics", "scheduled_at": "tomorrow"}, 422, "invalid-request", "/scheduled_at"),
        ({"kind": "metrics", "scheduled_at": "2030-01-01T00:00:00"}, 422, "invalid-request", "/scheduled_at"),
        ({"kind": "metrics", "scheduled_at": "0001-01-01T00:00:00+14:00"}, 422, "invalid-request", "/scheduled_at"),
        ({"kind": "metrics", "dataset_id": "42"}, 422, "invalid-request", "/dataset_id"),
        ({"kind": "metrics", "labels": {"a": 1}}, 422, "invalid-request", "/labels"),
        ({"kind": "metrics", "labels": {"a": "\0"}}, 422, "invalid-request", "/labels/a"),
        ({"kind": "metrics", "params": {"color": 1}}, 422, "invalid-request", "/params/color"),
        ({"kind": "metrics", "params": []}, 422, "invalid-request", "/params"),
        ({"kind": "anomalies", "params": {"threshold": -1}}, 422, "invalid-request", "/params/threshold"),
        (
            {"kind": "anomalies", "params": {"columns": ["temperature", "x"]}},
            422,
            "invalid-request",
            "/params/columns/1",
        ),
        ({"kind": "anomalies", "params": {"columns": ["\0"]}}, 422, "invalid-request", "/params/columns/0"),
        ({"kind": "metrics", "dataset_id": "01900000-0000-7000-8000-000000000000"}, 404, "not-found", None),
    ],
)
async def test_what_does_not_fit_is_refused_and_pointed_at(
    client: httpx.AsyncClient, dataset_id: str, body: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    answer = await client.post("/jobs", json={"dataset_id": dataset_id, **body})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:gristmill:problem:{code}"
    assert (problem["status"], problem["instance"]) == (status, "/jobs")
    assert [fault["pointer"] for fault in problem.get("errors", [])] == ([pointer] if pointer else [])


async def test_columns_wait_for_the_dataset(client: httpx.AsyncClient, database: Database) -> None:
    made = await upload(client)
    answer = await submit(client, made["id"], kind="anomalies", params={"columns": ["nobody knows yet"]})
    assert answer.status_code == 202, answer.text
    assert answer.json()["waits_for_dataset"] is True
    await make_failed(database, made["links"]["ingest_job"])
    dataset = (await client.get(f"/datasets/{made['id']}")).json()
    assert (dataset["status"], dataset["error"]["type"]) == ("failed", "urn:gristmill:problem:bad-data")
    job = (await client.get(answer.headers["Location"])).json()
    assert (job["status"], job["error"]["type"]) == ("failed", "urn:gristmill:problem:dataset-failed")
    late = await submit(client, made["id"])
    assert (late.status_code, late.json()["type"]) == (409, "urn:gristmill:problem:dataset-failed")


async def test_a_delayed_job_says_when_to_look_again(client: httpx.AsyncClient, dataset_id: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    answer = await submit(client, dataset_id, scheduled_at=later.isoformat())
    assert answer.headers["Retry-After"] == "60"
    assert datetime.fromisoformat(answer.json()["scheduled_at"]) == later


async def test_a_job_has_a_time_for_each_state(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings, dataset_id: str
) -> None:
    job_id = (await submit(client, dataset_id)).json()["id"]
    await complete(database, store, settings, job_id)
    answer = await client.get(f"/jobs/{job_id}")
    job = answer.json()
    assert (job["status"], job["attempt"], job["error"]) == ("completed", 1, None)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["result"] == {"files": 2, "size_bytes": 26, "rows_in": 3, "rows_out": 2, "rows_dropped": 1}
    assert "Retry-After" not in answer.headers
    assert "cancel" not in job["links"]


async def test_a_retry_shows_the_error_of_its_last_attempt(
    client: httpx.AsyncClient, database: Database, dataset_id: str
) -> None:
    job_id = (await submit(client, dataset_id)).json()["id"]
    lost = ExecutorLost("It was killed by SIGKILL.").problem()
    await settle(database, await claim(database, job_id), Retry(lost, 3600))
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["attempt"], job["error"]["status"]) == ("pending", 1, 409)
    events = (await client.get(f"/jobs/{job_id}/events")).json()["items"]
    assert [event["type"] for event in events] == ["created", "claimed", "retrying"]
    assert events[-1]["data"]["error"] == job["error"]


async def test_a_pending_job_is_canceled_at_once(client: httpx.AsyncClient, dataset_id: str) -> None:
    job_id = (await submit(client, dataset_id)).json()["id"]
    answer = await client.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    again = await client.post(f"/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, "urn:gristmill:problem:conflict")


async def test_a_running_job_is_asked_to_stop(client: httpx.AsyncClient, database: Database, dataset_id: str) -> None:
    job_id = (await submit(client, dataset_id)).json()["id"]
    claimed = await claim(database, job_id)
    answer = await client.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["cancel_requested_at"] is not None
    await settle(database, claimed, Canceled())
    assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "canceled"
    assert (await client.post("/jobs/01900000-0000-7000-8000-000000000000/cancel")).status_code == 404


async def test_jobs_are_listed_by_status_kind_and_dataset(
    client: httpx.AsyncClient, database: Database, dataset_id: str
) -> None:
    first = (await submit(client, dataset_id)).json()["id"]
    second = (await submit(client, dataset_id, kind="anomalies")).json()["id"]
    await settle(database, await claim(database, first), Failed(ExecutorLost("Gone.").problem()))

    async def ids(**query: str) -> list[str]:
        answer = await client.get("/jobs", params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["items"]]

    assert await ids() == [second, first]
    assert await ids(status="failed") == [first]
    assert await ids(kind="anomalies", dataset_id=dataset_id) == [second]
    assert await ids(dataset_id="01900000-0000-7000-8000-000000000000") == []
    assert len(await ids(kind="ingest")) == 1


async def test_progress_is_shown(client: httpx.AsyncClient, database: Database, dataset_id: str) -> None:
    job_id = (await submit(client, dataset_id)).json()["id"]
    claimed = await claim(database, job_id)
    await send_heartbeats(database, [Heartbeat(claimed.id, claimed.lease, Progress("fit", 1, 2))], lease_s=60)
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert job["progress"] == {"stage": "fit", "done": 1, "total": 2, "unit": "rows"}
