"""Promise: lists come in pages, newest first, stable while rows are added; a cursor fits its own list alone."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from gristmill.api.paging import before, encode_cursor
from gristmill.db.engine import Database
from gristmill.errors import InvalidCursor

CSV = b"a\n1\n"


async def add(client: httpx.AsyncClient, name: str) -> str:
    answer = await client.post("/datasets", files={"file": (name, CSV)}, data={"name": name})
    return str(answer.json()["id"])


async def page(client: httpx.AsyncClient, path: str, **query: Any) -> tuple[list[str], str | None]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert ("next" in body) == ("Link" in answer.headers)
    return [item["id"] for item in body["items"]], body.get("next")


async def test_pages_are_newest_first_and_stable_while_rows_are_added(
    client: httpx.AsyncClient, database: Database
) -> None:
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs CASCADE")
    made = [await add(client, f"{number}.csv") for number in range(5)]
    first, cursor = await page(client, "/datasets", limit=2)
    assert first == [made[4], made[3]]
    await add(client, "later.csv")
    second, cursor = await page(client, "/datasets", limit=2, cursor=cursor)
    assert second == [made[2], made[1]]
    last, end = await page(client, "/datasets", limit=2, cursor=cursor)
    assert (last, end) == ([made[0]], None)


async def test_a_page_that_is_just_full_is_the_last(client: httpx.AsyncClient) -> None:
    await add(client, "full.csv")
    await add(client, "full.csv")
    items, end = await page(client, "/datasets", limit=2, name="full.csv")
    assert (len(items), end) == (2, None)


async def test_the_link_header_leads_to_the_next_page(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await add(client, "linked & co.csv")
    answer = await client.get("/datasets", params={"name": "linked & co.csv", "limit": 2})
    following = await client.get(answer.links["next"]["url"])
    assert len(following.json()["items"]) == 1
    assert "next" not in following.links


async def test_a_cursor_is_useless_elsewhere(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await add(client, "c.csv")
    _, cursor = await page(client, "/datasets", limit=1, name="c.csv")
    assert cursor is not None
    flipped = cursor[:5] + ("A" if cursor[5] != "A" else "B") + cursor[6:]
    for path, query in (
        ("/datasets", {"cursor": cursor}),
        ("/datasets", {"cursor": cursor, "name": "d.csv"}),
        ("/jobs", {"cursor": cursor}),
        ("/datasets", {"cursor": flipped, "name": "c.csv"}),
        ("/datasets", {"cursor": "garbage"}),
        ("/datasets", {"cursor": "%00é"}),
        ("/datasets", {"cursor": ""}),
    ):
        answer = await client.get(path, params=query)
        assert answer.status_code == 400, (path, query, answer.text)
        assert answer.json()["type"] == "urn:gristmill:problem:invalid-cursor"


def test_a_cursor_is_useless_to_another_owner() -> None:
    place = UUID("01900000-0000-7000-8000-000000000000")
    cursor = encode_cursor(place, of="jobs", owner="a", filters={})
    assert before(cursor, of="jobs", owner="a", filters={}) == place
    with pytest.raises(InvalidCursor):
        before(cursor, of="jobs", owner="b", filters={})


@pytest.mark.parametrize("limit", ["0", "501", "abc", "-1", "1e3", ""])
@pytest.mark.parametrize("path", ["/datasets", "/jobs"])
async def test_a_limit_that_does_not_fit_is_refused(client: httpx.AsyncClient, path: str, limit: str) -> None:
    answer = await client.get(path, params={"limit": limit})
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "urn:gristmill:problem:invalid-request"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/query/limit"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/datasets", {"status": "nice"}),
        ("/datasets", {"format": "docx"}),
        ("/datasets", {"name": "a\0"}),
        ("/jobs", {"status": "nice"}),
        ("/jobs", {"kind": "a\0"}),
        ("/jobs", {"dataset_id": "42"}),
    ],
)
async def test_a_filter_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, path: str, query: dict[str, str]
) -> None:
    answer = await client.get(path, params=query)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/query/{name}" for name in query]


async def test_events_come_in_pages_oldest_first(client: httpx.AsyncClient) -> None:
    made = (await client.post("/datasets", files={"file": ("a.csv", CSV)})).json()
    path = made["links"]["ingest_job"]
    await client.post(f"{path}/cancel")
    first, cursor = await page(client, f"{path}/events", limit=1)
    second, end = await page(client, f"{path}/events", limit=1, cursor=cursor)
    assert (end, len(first), len(second)) == (None, 1, 1)
    assert first < second
    assert (await client.get("/jobs", params={"cursor": cursor})).status_code == 400
