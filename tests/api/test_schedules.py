"""Promise: a schedule is checked when it is made, and can be listed, paused, changed and deleted by its owner."""

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gristmill.db.engine import Database
from tests.api.queue_side import make_ready

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


@pytest.fixture
async def body(client: httpx.AsyncClient, database: Database) -> AsyncIterator[dict[str, Any]]:
    made = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    await make_ready(database, made["links"]["ingest_job"])
    yield {"name": "nightly", "cron": "30 2 * * *", "job": {"kind": "metrics", "dataset_id": made["id"]}}
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, schedules CASCADE")


async def test_a_schedule_lives(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/schedules", json={**body, "time_zone": "Europe/Berlin"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    path = answer.headers["Location"]
    assert len(made["upcoming"]) == 5
    assert (made["kind"], made["missed"], made["paused"]) == ("metrics", "once", False)
    assert (await client.get(path)).json() == made
    paused = (await client.patch(path, json={"paused": True})).json()
    assert (paused["paused"], paused["upcoming"]) == (True, [])
    hourly = (await client.patch(path, json={"paused": False, "cron": "0 * * * *"})).json()
    times = [datetime.fromisoformat(time) for time in hourly["upcoming"]]
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(times)} == {3600.0}
    assert (await client.patch(path, json={})).json() == hourly
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert (await client.get(path)).status_code == 404


async def test_schedules_are_paged(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    ids = [(await client.post("/schedules", json=body)).json()["id"] for _ in range(5)]
    page = (await client.get("/schedules?limit=3")).json()
    rest = (await client.get("/schedules", params={"limit": 3, "cursor": page["next"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == ids[::-1]
    assert "next" not in rest


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"cron": "* * *"}, 422, "/cron"),
        ({"time_zone": "Mars/Olympus"}, 422, "/time_zone"),
        ({"missed": "maybe"}, 422, "/missed"),
        ({"color": 1}, 422, "/color"),
        ({"job": {"kind": "metrics", "params": {"columns": ["x"]}}}, 422, "/job/params/columns/0"),
        ({"job": {"kind": "metrics", "scheduled_at": "2030-01-01T00:00:00Z"}}, 422, "/job/scheduled_at"),
        ({"job": {"kind": "metrics", "dataset_id": str(uuid4())}}, 404, None),
    ],
)
async def test_what_does_not_fit_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], change: dict[str, Any], status: int, pointer: str | None
) -> None:
    job = {"dataset_id": body["job"]["dataset_id"], **change.get("job", body["job"])}
    answer = await client.post("/schedules", json={**body, **change, "job": job})
    assert answer.status_code == status, answer.text
    assert pointer is None or answer.json()["errors"][0]["pointer"] == pointer
