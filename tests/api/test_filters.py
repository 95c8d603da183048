"""Promise: lists are filtered by label and by time, page by page."""

from typing import Any

import httpx
import pytest

from gristmill.db.engine import Database

CSV = b"a\n1\n"


@pytest.fixture
async def empty(database: Database) -> None:
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, job_events CASCADE")


async def add(client: httpx.AsyncClient, name: str, **labels: str) -> Any:
    made = (await client.post("/datasets", files={"file": (f"{name}.csv", CSV)})).json()
    return (await client.patch(made["links"]["self"], json={"labels": labels})).json()


async def listed(client: httpx.AsyncClient, path: str, **query: Any) -> list[str]:
    """All pages, two items each."""
    items: list[str] = []
    url = str(httpx.URL(path, params={"limit": 2, **query}))
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        items += [item["id"] for item in answer.json()["items"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    return items


@pytest.mark.usefixtures("empty")
async def test_datasets_by_label_and_time(client: httpx.AsyncClient) -> None:
    a = await add(client, "a", site="north", year="2026")
    b = await add(client, "b", site="south", year="2026")
    c = await add(client, "c")
    d = await add(client, "d", site="north", url="http://x")
    e = await add(client, "e", site="north")
    assert await listed(client, "/datasets", label="site:north") == [e["id"], d["id"], a["id"]]
    assert await listed(client, "/datasets", label="site") == [e["id"], d["id"], b["id"], a["id"]]
    assert await listed(client, "/datasets", label=["site:north", "year"]) == [a["id"]]
    assert await listed(client, "/datasets", label="url:http://x") == [d["id"]]
    window = {"created_after": b["created_at"], "created_before": e["created_at"]}
    assert await listed(client, "/datasets", **window) == [d["id"], c["id"], b["id"]]
    assert await listed(client, "/datasets", label="site:north", **window) == [d["id"]]


@pytest.mark.usefixtures("empty")
async def test_jobs_by_label_and_time(client: httpx.AsyncClient) -> None:
    dataset = await add(client, "a")
    jobs = []
    for n in range(4):
        body = {"kind": "metrics", "dataset_id": dataset["id"], "labels": {"n": str(n % 2)}, "reuse": "none"}
        jobs.append((await client.post("/jobs", json=body)).json())
    for n in (2, 0, 1):  # they end in another order than they began
        jobs[n] = (await client.post(f"{jobs[n]['links']['self']}/cancel")).json()
    ids = [job["id"] for job in jobs]
    assert await listed(client, "/jobs", label="n:1") == [ids[3], ids[1]]
    assert await listed(client, "/jobs", created_after=jobs[1]["created_at"], created_before=jobs[3]["created_at"]) == [
        ids[2],
        ids[1],
    ]
    assert await listed(client, "/jobs", finished_after=jobs[0]["finished_at"]) == [ids[1], ids[0]]
    assert await listed(client, "/jobs", finished_before=jobs[1]["finished_at"]) == [ids[2], ids[0]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"label": ":x"}, "/query/label"),
        ({"label": ["a:1", "a:2"]}, "/query/label"),
        ({"label": "a:\0"}, "/query/label"),
        ({"created_after": "yesterday"}, "/query/created_after"),
        ({"created_after": "2026-01-01T00:00:00"}, "/query/created_after"),
        ({"created_before": "0001-01-01T00:00:00+14:00"}, "/query/created_before"),
        ({"finished_before": "9999-12-31T23:59:59-12:00"}, "/query/finished_before"),
    ],
)
async def test_filters_that_do_not_fit_are_pointed_at(client: httpx.AsyncClient, query: Any, pointer: str) -> None:
    answer = await client.get("/jobs", params=query)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.usefixtures("empty")
async def test_a_cursor_fits_its_filters_alone(client: httpx.AsyncClient) -> None:
    first = await add(client, "a", x="1")
    await add(client, "b", x="1")
    time = {"created_after": first["created_at"]}
    cursor = (await client.get("/datasets", params={"label": "x:1", "limit": 1, **time})).json()["next"]
    for other in ({"label": "x"}, {"label": "x:1"}, time, {"label": ["x:1", "y"], **time}):
        answer = await client.get("/datasets", params={"limit": 1, "cursor": cursor, **other})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:gristmill:problem:invalid-cursor")
    same = {"label": "x:1", "created_after": first["created_at"].replace("Z", "+00:00")}
    assert (await client.get("/datasets", params={"limit": 1, "cursor": cursor, **same})).status_code == 200
