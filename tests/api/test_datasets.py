"""Promise: a file that is sent becomes a dataset, byte by byte as it came, whichever way it is sent."""

import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.domain.manifest import original_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"


async def test_a_form_becomes_a_dataset(client: httpx.AsyncClient, store: ObjectStore, settings: Settings) -> None:
    answer = await client.post("/datasets", files={"file": ("towns.csv", CSV, "text/csv")}, data={"name": "Towns"})
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert answer.headers["Location"] == f"/datasets/{dataset['id']}"
    assert UUID(dataset["id"]).version == 7
    assert (dataset["name"], dataset["status"], dataset["format"]) == ("Towns", "validating", "csv")
    assert dataset["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert dataset["size_bytes"] == len(CSV)
    assert dataset["created_at"].endswith("Z")
    assert await store.read(settings.s3_datasets_bucket, original_key(dataset["id"])) == CSV
    job = (await client.get(dataset["links"]["ingest_job"])).json()
    assert (job["kind"], job["status"], job["dataset_id"]) == ("ingest", "pending", dataset["id"])


async def test_the_name_may_come_after_the_file(client: httpx.AsyncClient) -> None:
    boundary = "limit"
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="C:\\\\data\\\\x.csv"\r\n\r\n'
        + CSV
        + b"\r\n"
        b'--limit\r\nContent-Disposition: form-data; name="name"\r\n\r\nLater\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="options"\r\n\r\n{"strict": true}\r\n--limit--\r\n'
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = await client.post("/datasets", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "Later"
    assert answer.json()["options"] == {"strict": True}


async def test_a_raw_body_becomes_a_dataset(client: httpx.AsyncClient, store: ObjectStore, settings: Settings) -> None:
    rows = b"".join(b'{"n": %d, "text": "%s"}\n' % (number, b"x" * 900) for number in range(12_000))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(rows), 100_000):
            yield rows[start : start + 100_000]

    headers = {"Content-Type": "application/x-ndjson"}
    answer = await client.post("/datasets", params={"name": "rows"}, content=chunks(), headers=headers)
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert (dataset["format"], dataset["size_bytes"]) == ("ndjson", len(rows))
    assert dataset["sha256"] == hashlib.sha256(rows).hexdigest()
    head = await store.head(settings.s3_datasets_bucket, original_key(dataset["id"]))
    assert head.size_bytes == len(rows)
    assert [upload async for upload in store.list_uploads(settings.s3_datasets_bucket, f"{dataset['id']}/")] == []


@pytest.mark.parametrize(
    ("name", "media_type", "told", "found"),
    [
        ("a.csv", "application/octet-stream", None, "csv"),
        ("a.CSV.gz", "application/gzip", None, "csv"),
        ("a.jsonl.zst", "application/octet-stream", None, "ndjson"),
        ("a.parquet", "", None, "parquet"),
        ("a.bin", "text/csv; charset=utf-8", None, "csv"),
        ("a.bin", "application/octet-stream", "jsonl", "ndjson"),
        ("a.parquet", "text/csv", None, "csv"),
        ("a.json.gz", "", None, "json"),
        ("a.bin", "application/json", None, "json"),
        ("a.arrow", "application/octet-stream", None, "arrow"),
        ("a.xlsx", "", None, "xlsx"),
    ],
)
async def test_the_format_is_told_by_word_type_or_name(
    client: httpx.AsyncClient, name: str, media_type: str, told: str | None, found: str
) -> None:
    query = {"name": name, **({"format": told} if told else {})}
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await client.post("/datasets", params=query, content=gzip.compress(CSV), headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["format"] == found


async def test_a_tsv_has_tabs(client: httpx.AsyncClient) -> None:
    answer = await client.post("/datasets", files={"file": ("a.tsv", b"a\tb\n1\t2\n")})
    assert answer.json()["format"] == "csv"
    assert answer.json()["options"] == {"delimiter": "\t"}


async def test_a_format_that_cannot_be_told_is_refused(client: httpx.AsyncClient, database: Database) -> None:
    for answer in (
        await client.post("/datasets", params={"name": "a.bin"}, content=CSV),
        await client.post("/datasets", files={"file": ("a.docx", CSV)}),
        await client.post("/datasets", params={"format": "docx"}, content=CSV, headers={"Content-Type": "text/csv"}),
        await client.post("/datasets", content=b"<a/>", headers={"Content-Type": "application/xml"}),
    ):
        assert answer.status_code == 415, answer.text
        assert answer.json()["type"] == "urn:gristmill:problem:unsupported-format"
        assert ".parquet" in answer.json()["detail"]
    assert await uploads_left(database) == 0


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        ({"data": {"name": "a\0b"}}, "/name"),
        ({"data": {"name": "  "}}, "/name"),
        ({"data": {"name": "x" * 256}}, "/name"),
        ({"data": {"title": "a"}}, "/title"),
        ({"data": {"options": '{"strict": 1}'}}, "/options/strict"),
        ({"data": {"options": '{"separator": ";"}'}}, "/options/separator"),
        ({"data": {"options": '{"null_tokens": ["\\u0000"]}'}}, "/options/null_tokens/0"),
    ],
)
async def test_fields_that_do_not_fit_are_pointed_at(
    client: httpx.AsyncClient, database: Database, form: dict[str, dict[str, str]], pointer: str
) -> None:
    answer = await client.post("/datasets", files={"file": ("a.csv", CSV)}, data=form["data"])
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert await uploads_left(database) == 0


async def test_a_form_without_a_file_or_with_two_is_refused(client: httpx.AsyncClient) -> None:
    without = await client.post("/datasets", files={"name": (None, "x")})
    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (422, "/file")
    two = await client.post("/datasets", files=[("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))])
    assert two.status_code == 422


async def test_a_job_can_come_with_the_dataset(client: httpx.AsyncClient) -> None:
    files = {"file": ("a.csv", CSV)}
    answer = await client.post("/datasets", params={"job": "metrics"}, files=files)
    assert answer.status_code == 201, answer.text
    job = (await client.get(answer.json()["links"]["job"])).json()
    assert (job["kind"], job["status"], job["waits_for_dataset"]) == ("metrics", "pending", True)
    unknown = await client.post("/datasets", params={"job": "magic"}, files=files)
    assert (unknown.status_code, unknown.json()["type"]) == (422, "urn:gristmill:problem:unknown-kind")


async def test_a_dataset_is_looked_at_and_listed(client: httpx.AsyncClient) -> None:
    made = (await client.post("/datasets", files={"file": ("one of a kind.csv", CSV)})).json()
    looked = await client.get(f"/datasets/{made['id']}")
    assert looked.status_code == 200
    assert looked.json()["sha256"] == made["sha256"]
    assert looked.json()["columns"] is None
    listed = (await client.get("/datasets", params={"name": "one of a kind.csv", "status": "validating"})).json()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    assert "profile" not in listed["items"][0]
    assert (await client.get("/datasets", params={"name": "one of a kind.csv", "format": "parquet"})).json() == {
        "items": []
    }


async def test_unknown_ids_are_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/datasets/01900000-0000-7000-8000-000000000000", "/datasets/42", "/datasets/x/y"):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(answer.text)["instance"] == path


async def uploads_left(database: Database) -> int:
    async with database.driver() as driver:
        return int(await driver.fetchval("SELECT count(*) FROM uploads"))
