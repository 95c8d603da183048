"""Promise: what ingest did not take can be looked at and downloaded, and so can the original and the profile."""

import io
from typing import Any

import httpx
import polars as pl
import pytest

from gristmill.api.reading import PAGE_BYTES
from gristmill.db.engine import Database
from gristmill.ingest.rejects import SCHEMA
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import make_failed, make_readable
from tests.api.test_rows import read, upload

ROWS = [
    (3, 2, "extra cells", "1,2,=3"),
    (7, None, "unclosed quote", '"x\ny'),
    (9, 1, "extra cells", "🦉"),
    (12, None, "bad JSON", ""),
]
REJECTED = pl.DataFrame(ROWS, schema=SCHEMA, orient="row")


@pytest.fixture
async def made(client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    dataset = await upload(client)
    await make_readable(database, store, settings, dataset, pl.DataFrame({"a": [1, 2]}), rejected=REJECTED)
    found: dict[str, Any] = (await client.get(f"/datasets/{dataset['id']}")).json()
    return found


async def test_rejected_rows_come_in_pages(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    path = made["links"]["rejects"]
    first = await read(client, path, limit=3)
    assert (first["rows_rejected"], made["rows_rejected"]) == (4, 4)
    rest = await read(client, path, limit=3, cursor=first["next"])
    assert [tuple(item.values()) for item in first["items"] + rest["items"]] == ROWS
    assert list(first["items"][0]) == ["line", "column", "reason", "raw"]


async def test_rejected_rows_of_one_reason(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    path = made["links"]["rejects"]
    first = await client.get(path, params={"reason": "extra cells", "limit": 1})
    rest = (await client.get(first.links["next"]["url"])).json()
    assert [item["line"] for item in first.json()["items"] + rest["items"]] == [3, 9]
    assert "next" not in rest
    other = await client.get(path, params={"reason": "bad JSON", "cursor": first.json()["next"]})
    assert other.status_code == 400
    assert (await client.get(path, params={"reason": "bad luck"})).status_code == 422
    # None of them is a row of the dataset.
    assert (await read(client, made["links"]["rows"]))["rows"] == [[1], [2]]


async def test_rejected_rows_of_a_wide_table_come_in_pages_of_bounded_size(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    rows = [(line, None, "extra cells", f"{line}," + "0.123," * 10_000) for line in range(2, 302)]
    rejected = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    dataset = await upload(client)
    await make_readable(database, store, settings, dataset, pl.DataFrame({"a": [1, 2]}), rejected=rejected)
    found: list[int] = []
    query: dict[str, Any] = {"limit": 500}
    while len(found) < len(rows):
        page = await client.get(f"/datasets/{dataset['id']}/rejects", params=query)
        assert len(page.content) < 2 * PAGE_BYTES
        found += [item["line"] for item in page.json()["items"]]
        query["cursor"] = page.json().get("next")
    assert found == [line for line, *_ in rows]
    assert query["cursor"] is None


async def test_rejected_rows_can_be_downloaded(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    answer = await client.get(f"{made['links']['rejects']}/content")
    assert answer.status_code == 303
    async with httpx.AsyncClient() as stranger:
        file = await stranger.get(answer.headers["Location"])
    assert pl.read_parquet(io.BytesIO(file.content)).rows() == ROWS
    query = {"formula_guard": True}
    table = await client.get(made["links"]["rejects"], headers={"Accept": "text/csv"}, params=query)
    assert pl.read_csv(table.content)["raw"][0] == "1,2,=3"


async def test_no_rejected_rows(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    dataset = await upload(client)
    await make_readable(database, store, settings, dataset, pl.DataFrame({"a": [1, 2]}))
    path = f"/datasets/{dataset['id']}/rejects"
    assert await read(client, path) == {"items": [], "rows_rejected": 0}
    assert (await read(client, path, reason="bad JSON"))["items"] == []
    nothing = await client.get(f"{path}/content")
    assert (nothing.status_code, nothing.json()["type"]) == (404, "urn:gristmill:problem:no-rows")


async def test_the_profile_tells_how_the_original_was_read(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    told = await read(client, made["links"]["profile"])
    assert told == {
        "dataset_id": made["id"],
        "format": "csv",
        "rows_read": 6,
        "rows_loaded": 2,
        "rows_rejected": 4,
        "rows_repaired": 0,
        "dialect": {"format": "csv", "delimiter": ";"},
        "warnings": ["a column has no name"],
        "figures": {"rows": 2},
        "columns": [{"name": "a", "nulls": 0, "odd": [1]}],
    }


async def test_the_original_is_downloaded_under_a_safe_form_of_its_name(
    client: httpx.AsyncClient, database: Database
) -> None:
    dataset = await upload(client, name='../"a";\u202eé.csv')
    await make_failed(database, dataset["links"]["ingest_job"])
    answer = await client.get(dataset["links"]["content"])
    assert answer.status_code == 303
    async with httpx.AsyncClient() as stranger:
        original = await stranger.get(answer.headers["Location"])
    assert original.content == b"a\n1\n"
    told = original.headers["Content-Disposition"]
    plain = told.partition(";")[2].partition("filename*")[0]
    assert told.startswith("attachment; ")
    assert not {"/", "\\", "\u202e", ".."} & set(plain.partition('"')[2].rpartition('"')[0])
    assert plain.count('"') == 2
    assert (await client.head(dataset["links"]["content"])).status_code == 303
