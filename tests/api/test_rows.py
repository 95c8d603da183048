"""Promise: rows come in pages, each row once, with its values as they are, in the type that is asked for."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gristmill.api.reading import PAGE_BYTES
from gristmill.api.rejects import RejectPage
from gristmill.api.rows import RowPage
from gristmill.api.tables import TableType
from gristmill.db.engine import Database
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import complete_with, make_failed, make_readable
from tests.api.serving import Served, serving
from tests.proxy import FaultProxy

CSV = b"a\n1\n"
HOSTILE = ["", "__proto__", "a,b", 'q"', "two\nlines", "=1+1", "🦉", " x ", "limit", "toString"]
ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"


async def upload(client: httpx.AsyncClient, name: str = "a.csv") -> dict[str, Any]:
    made = await client.post("/datasets", content=CSV, headers={"Content-Type": "text/csv"}, params={"name": name})
    body: dict[str, Any] = made.raise_for_status().json()
    return body


def peak_kib(pid: int) -> int:
    """The most memory the process ever had, in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text("ascii").split("VmHWM:")[1].split()[0])


async def readable(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings, *parts: pl.DataFrame
) -> str:
    """The path of a dataset with these parts."""
    made = await upload(client)
    await make_readable(database, store, settings, made, *parts)
    return f"/datasets/{made['id']}"


def strict(text: str) -> Any:
    """JSON without NaN and Infinity, which Python would take."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


async def read(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = strict(answer.text)
    assert ("next" in body) == ("next" in answer.links)
    return body


async def test_a_walk_meets_every_row_of_every_part_once(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    whole = pl.DataFrame({"n": range(23), "t": [f"row {number}" for number in range(23)]})
    path = await readable(client, database, store, settings, whole[:7], whole[7:8], whole[8:])
    assert (await client.get(path)).json()["links"]["rows"] == f"{path}/rows"
    found: list[tuple[Any, ...]] = []
    url = f"{path}/rows?limit=5"
    while url:
        answer = await client.get(url)
        page = answer.json()
        assert page["first_row"] == len(found)
        assert (answer.headers["X-First-Row"], page["total_rows"]) == (str(len(found)), 23)
        assert page["columns"] == [{"name": "n", "type": "Int64"}, {"name": "t", "type": "String"}]
        found += [tuple(row) for row in page["rows"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert found == whole.rows()
    assert (await client.head(f"{path}/rows")).status_code == 200


async def test_a_page_begins_at_any_row_and_leads_on(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    whole = pl.DataFrame({"n": range(23)})
    path = f"{await readable(client, database, store, settings, whole[:7], whole[7:8], whole[8:])}/rows"
    page = await read(client, path, first_row=6, limit=3)
    assert (page["first_row"], page["rows"]) == (6, [[6], [7], [8]])
    page = await read(client, path, first_row=6, limit=3, cursor=page["next"])
    assert (page["first_row"], page["rows"]) == (9, [[9], [10], [11]]), "the cursor goes before"
    for beyond in (23, 2**40):
        page = await read(client, path, first_row=beyond)
        assert (page["first_row"], page["rows"], "next" in page) == (23, [], False)
    assert (await client.get(path, params={"first_row": -1})).status_code == 422


async def test_a_page_comes_in_the_type_that_is_asked_for(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    whole = pl.DataFrame({"n": [1, None, 2**60], "t": ['a,"b"', "", None], "x": [0.1, float("nan"), -float("inf")]})
    path = await readable(client, database, store, settings, whole[:1], whole[1:]) + "/rows"

    async def told(accept: str, **query: Any) -> httpx.Response:
        answer = await client.get(path, headers={"Accept": accept}, params=query)
        assert answer.status_code == 200, answer.text
        assert "Accept" in answer.headers["Vary"]
        return answer

    arrow = await told(f"text/html, {ARROW};q=0.9, application/json;q=0.8")
    assert arrow.headers["Content-Type"] == ARROW
    assert_frame_equal(pl.read_ipc_stream(io.BytesIO(arrow.content)), whole)
    table = await told("text/*")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.text == 'n,t,x\r\n1,"a,""b""",0.1\r\n,"",NaN\r\n1152921504606846976,,-Infinity\r\n'
    lines = await told(NDJSON, columns=["x", "n"])
    assert [strict(line) for line in lines.text.splitlines()] == [
        {"x": 0.1, "n": 1},
        {"x": "NaN", "n": None},
        {"x": "-Infinity", "n": "1152921504606846976"},
    ]
    first = await told(ARROW, limit=2)
    rest = await client.get(first.links["next"]["url"], headers={"Accept": ARROW})
    both = [pl.read_ipc_stream(io.BytesIO(page.content)) for page in (first, rest)]
    assert_frame_equal(pl.concat(both), whole)
    refused = await client.get(path, headers={"Accept": "text/html, application/json;q=0"})
    assert (refused.status_code, refused.json()["type"]) == (406, "urn:gristmill:problem:not-acceptable")


async def test_columns_may_have_any_name(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    whole = pl.DataFrame({name: [f"{place}", "=A1"] for place, name in enumerate(HOSTILE)})
    path = await readable(client, database, store, settings, whole) + "/rows"
    page = await read(client, path)
    assert [column["name"] for column in page["columns"]] == HOSTILE
    assert [tuple(row) for row in page["rows"]] == whole.rows()
    for chosen in (["a,b", "__proto__"], [""], HOSTILE[::-1]):
        page = await read(client, path, columns=chosen, limit=1)
        assert page["rows"] == [[str(HOSTILE.index(name)) for name in chosen]]
        following = await read(client, path, columns=chosen, cursor=page["next"])
        assert following["rows"] == [["=A1"] * len(chosen)]
    plain = await client.get(path, headers={"Accept": "text/csv"})
    # Not by Polars, whose reader leaves doubled quotes in a header as they are (2.1).
    assert list(csv.reader(io.StringIO(plain.text, newline=""))) == [HOSTILE, *map(list, whole.rows())]
    guarded = await client.get(path, headers={"Accept": "text/csv"}, params={"formula_guard": True})
    table = pl.read_csv(guarded.content, infer_schema=False)
    assert table.columns[5] == "'=1+1"
    assert set(table.row(1)) == {"'=A1"}


async def test_the_link_keeps_the_choice_of_columns(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    path = await readable(client, database, store, settings, pl.DataFrame({"a&b": [1, 2], "c": [3, 4]})) + "/rows"
    answer = await client.get(path, params={"columns": ["c", "a&b"], "limit": 1})
    assert parse_qs(urlsplit(answer.links["next"]["url"]).query)["columns"] == ["c", "a&b"]
    assert (await client.get(answer.links["next"]["url"])).json()["rows"] == [[4, 2]]
    cursor = answer.json()["next"]
    other = await client.get(path, params={"cursor": cursor, "columns": "c"})
    assert (other.status_code, other.json()["type"]) == (400, "urn:gristmill:problem:invalid-cursor")
    unknown = await client.get(path, params={"columns": ["c", "d", "c"]})
    assert unknown.status_code == 422
    assert [fault["pointer"] for fault in unknown.json()["errors"]] == ["/query/columns/1", "/query/columns/2"]


async def test_a_wide_dataset_is_read_in_pages_of_bounded_size(
    client: httpx.AsyncClient, served: Served, database: Database, store: ObjectStore, settings: Settings
) -> None:
    columns, rows = 2000, 1200
    numbers = pl.int_range(columns * rows, eager=True).cast(pl.Float64) / 7
    whole = pl.DataFrame([numbers.slice(place * rows, rows).alias(f"c{place}") for place in range(columns)])
    path = await readable(client, database, store, settings, whole[:700], whole[700:]) + "/rows"
    found: list[list[float]] = []
    query: dict[str, Any] = {"limit": 500}
    while True:
        page = await read(client, path, **query)
        assert page["first_row"] == len(found)
        assert 100 < len(page["rows"]) <= 500
        found += page["rows"]
        if "next" not in page:
            break
        query["cursor"] = page["next"]
    assert_frame_equal(pl.DataFrame(found, schema=whole.schema, orient="row"), whole)
    assert peak_kib(served.pid) < 350_000, f"{peak_kib(served.pid)} KiB"
    chosen = {"columns": ["c1999", "c7"], "first_row": 600, "limit": 500}
    some = await read(client, path, **chosen)
    assert [column["name"] for column in some["columns"]] == chosen["columns"]
    assert some["rows"] == [list(row) for row in whole.select("c1999", "c7")[600:1100].rows()]
    for accept in (TableType.CSV, TableType.ARROW, TableType.NDJSON):
        told = await client.get(path, params={"limit": 500}, headers={"Accept": accept})
        assert told.status_code == 200
        assert len(told.content) < 4 * PAGE_BYTES, (accept, len(told.content))
        assert "next" in told.links


async def test_what_can_not_be_read_says_why(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    made = await upload(client)
    path = f"/datasets/{made['id']}"
    assert "rows" not in made["links"]
    for name in ("rows", "rejects", "rejects/content", "profile"):
        early = await client.get(f"{path}/{name}")
        assert (early.status_code, early.json()["type"]) == (409, "urn:gristmill:problem:dataset-not-ready"), name
        assert early.headers["Retry-After"] == "1"
    await make_failed(database, made["links"]["ingest_job"])
    failed = await client.get(f"{path}/rows")
    assert (failed.status_code, failed.json()["type"]) == (409, "urn:gristmill:problem:dataset-failed")
    assert failed.json()["detail"] == "The file has no rows."
    assert "Retry-After" not in failed.headers

    ready = await readable(client, database, store, settings, pl.DataFrame({"a": [1]}))
    body = {"kind": "metrics", "dataset_id": ready.rpartition("/")[2]}
    job = (await client.post("/jobs", json=body)).json()["id"]
    pending = await client.get(f"/jobs/{job}/result/rows")
    assert (pending.status_code, pending.json()["type"]) == (409, "urn:gristmill:problem:result-not-ready")
    assert "Retry-After" in pending.headers
    await complete_with(database, store, settings, job)
    report = await client.get(f"/jobs/{job}/result/rows")
    assert (report.status_code, report.json()["type"]) == (404, "urn:gristmill:problem:no-rows")
    assert "rows" not in (await client.get(f"/jobs/{job}")).json()["links"]


async def test_the_document_tells_of_each_type_and_its_sample_is_one(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in ("/datasets/{dataset_id}/rows", "/jobs/{job_id}/result/rows", "/datasets/{dataset_id}/rejects"):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert set(content) == set(TableType)
        page = content["application/json"]["examples"]["page"]["value"]
        kind = RejectPage if path.endswith("rejects") else RowPage
        assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(page, kind))) == page


async def test_a_result_is_read_as_a_dataset_is(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    whole = pl.DataFrame({"a": range(6)})
    path = await readable(client, database, store, settings, whole)
    body = {
        "kind": "normalize",
        "dataset_id": path.rpartition("/")[2],
        "params": {"steps": [{"op": "drop_duplicates"}]},
    }
    job = (await client.post("/jobs", json=body)).raise_for_status().json()["id"]
    await complete_with(database, store, settings, job, whole[:4], whole[4:])
    link = (await client.get(f"/jobs/{job}")).json()["links"]["rows"]
    page = await read(client, link, limit=5)
    last = await read(client, link, limit=5, cursor=page["next"])
    assert [row for (row,) in page["rows"] + last["rows"]] == list(range(6))
    wide = pl.DataFrame({f"c{place}": range(place, place + 900) for place in range(2000)})
    body["params"] = {"steps": [{"op": "drop_duplicates", "keep": "last"}]}
    other = (await client.post("/jobs", json=body)).raise_for_status().json()["id"]
    await complete_with(database, store, settings, other, wide)
    first = await read(client, f"/jobs/{other}/result/rows", limit=500)
    assert 100 < len(first["rows"]) < 500
    assert len(first["columns"]) == 2000
    some = await read(client, f"/jobs/{other}/result/rows", columns="c1500", first_row=899)
    assert some["rows"] == [[2399]]
    # The ingest is a job too: its rows are those of the dataset.
    ingest = (await client.get("/jobs", params={"kind": "ingest", "limit": 1})).json()["items"][0]["id"]
    assert (await read(client, f"/jobs/{ingest}/result/rows"))["total_rows"] == 6


async def test_a_store_that_hangs_holds_up_no_one_else(
    module_environment: dict[str, str],
    client: httpx.AsyncClient,
    database: Database,
    store: ObjectStore,
    settings: Settings,
    s3_proxy: FaultProxy,
    tmp_path: Path,
) -> None:
    path = await readable(client, database, store, settings, pl.DataFrame({"a": [1]}))
    given = {**module_environment, "S3_ENDPOINT_URL": s3_proxy.url, "S3_DEADLINE_S": "20"}
    # Started in a thread: the proxy runs on this loop.
    server = serving(given, tmp_path / "log")
    slow = await asyncio.to_thread(server.__enter__)
    async with httpx.AsyncClient(base_url=slow.url, timeout=30) as http:
        s3_proxy.freeze()
        reading = [asyncio.create_task(http.get(f"{path}/rows")) for _ in range(4)]
        await s3_proxy.connected.wait()
        for _ in range(20):
            assert (await http.get(path, timeout=2)).status_code == 200
        assert not any(task.done() for task in reading)
        await s3_proxy.refuse()
        for answer in await asyncio.gather(*reading):
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:gristmill:problem:store-unavailable")
            assert answer.headers["Retry-After"] == "2"
        await s3_proxy.accept()
        s3_proxy.thaw()
        assert (await http.get(f"{path}/rows")).json()["rows"] == [[1]]
    await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.mark.parametrize("limit", ["0", "501"])
async def test_a_page_has_a_limit(client: httpx.AsyncClient, limit: str) -> None:
    answer = await client.get("/datasets/01900000-0000-7000-8000-000000000000/rows", params={"limit": limit})
    assert answer.status_code == 422
