"""Bad input gets a clear problem that points at the fault, and nothing is left of it."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.e2e.system import System, running_system

GOOD = b"city,degrees\nUlm,1.5\nBonn,2.5\nKiel,3.0\n"


def parquet() -> bytes:
    target = io.BytesIO()
    pl.DataFrame({"a": range(1000)}).write_parquet(target)
    return target.getvalue()


async def keys_of(store: ObjectStore, settings: Settings, dataset_id: str) -> list[str]:
    return [key async for key in store.list_keys(settings.s3_datasets_bucket, f"{dataset_id}/")]


@pytest.mark.parametrize(
    ("content", "filename", "form", "code"),
    [
        pytest.param(bytes(range(256)) * 40, "binary.csv", {}, "unsupported-format", id="binary named .csv"),
        pytest.param(parquet()[:-200], "cut.parquet", {}, "bad-data", id="truncated Parquet"),
        pytest.param(parquet(), "data.csv", {}, "unsupported-format", id="Parquet declared CSV"),
        pytest.param(GOOD, "data.parquet", {}, "unsupported-format", id="CSV declared Parquet"),
        pytest.param(GOOD, "data.csv", {"format": "ndjson"}, "unsupported-format", id="CSV declared NDJSON"),
        pytest.param(gzip.compress(GOOD * 100)[:-20], "cut.csv.gz", {}, "bad-data", id="truncated gzip"),
    ],
)
async def test_a_file_that_can_not_be_read_fails_its_dataset_and_the_jobs_on_it(
    system: System,
    store: ObjectStore,
    settings: Settings,
    content: bytes,
    filename: str,
    form: dict[str, str],
    code: str,
) -> None:
    answer = await system.upload(content, filename, **form)
    assert answer.status_code == 201, answer.text
    dataset_id = answer.json()["id"]
    waiting = await system.submit(dataset_id)
    dataset = await system.settled(f"/datasets/{dataset_id}")
    assert dataset["status"] == "failed"
    assert dataset["error"]["type"].endswith(f":{code}"), dataset["error"]
    assert dataset["error"]["detail"]
    if waiting.status_code == 202:
        job = await system.settled(f"/jobs/{waiting.json()['id']}")
        assert job["status"] == "failed"
        assert job["error"]["type"].endswith(":dataset-failed")
    late = await system.submit(dataset_id)
    assert late.status_code in {409, 422}
    assert late.json()["type"].endswith(":dataset-failed")
    assert await keys_of(store, settings, dataset_id) == [f"{dataset_id}/original"], "only the original is kept"
    assert "Traceback" not in json.dumps(dataset)


async def test_an_empty_file_is_refused_at_once_and_leaves_no_row(system: System) -> None:
    answer = await system.upload(b"", "empty.csv")
    assert answer.status_code == 422
    assert "empty" in answer.json()["detail"]
    assert (await system.http.get("/datasets")).json()["items"] == []


async def test_a_header_alone_is_a_dataset_without_rows(system: System) -> None:
    answer = await system.upload(b"city,degrees\n", "header.csv")
    dataset = await system.settled(f"/datasets/{answer.json()['id']}")
    assert (dataset["status"], dataset["rows_read"], dataset["rows_loaded"]) == ("ready", 0, 0)
    assert dataset["warnings"]
    job = await system.submit(dataset["id"])
    assert job.status_code == 202
    assert (await system.settled(f"/jobs/{job.json()['id']}"))["status"] == "completed"


async def test_rows_that_do_not_fit_are_kept_apart_and_counted(system: System) -> None:
    answer = await system.upload(GOOD + b"Jena,4.0,9\n", "ragged.csv")
    dataset = await system.settled(f"/datasets/{answer.json()['id']}")
    counts = (dataset["rows_read"], dataset["rows_loaded"], dataset["rows_rejected"])
    assert counts == (4, 3, 1)


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"kind": "sorcery"}, "unknown-kind", None),
        ({"kind": "anomalies", "params": {"columns": ["nowhere"]}}, "invalid-request", "/params/columns/0"),
        ({"kind": "anomalies", "params": {"columns": ["city"]}}, "invalid-request", "/params/columns/0"),
        ({"kind": "metrics", "params": {"sorcery": 1}}, "invalid-request", "/params/sorcery"),
        ({"kind": "metrics", "sorcery": 1}, "invalid-request", "/sorcery"),
        ({"kind": "metrics", "priority": "high"}, "invalid-request", "/priority"),
        ({"kind": "metrics", "max_attempts": 0}, "invalid-request", "/max_attempts"),
    ],
)
async def test_a_request_that_does_not_fit_is_pointed_at(
    system: System, body: dict[str, Any], code: str, pointer: str | None
) -> None:
    answer = await system.upload(GOOD, "good.csv")
    dataset = await system.settled(f"/datasets/{answer.json()['id']}")
    refused = await system.http.post("/jobs", json={"dataset_id": dataset["id"], **body})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"].endswith(f":{code}")
    if pointer is not None:
        assert pointer in [fault["pointer"] for fault in problem["errors"]]
    assert (await system.http.get("/jobs")).json()["items"] == []


async def test_a_column_that_is_not_there_fails_the_job_with_the_same_problem_when_it_was_posted_early(
    system: System,
) -> None:
    rows = b"".join(b"Ulm,%d\n" % number for number in range(300_000))
    answer = await system.upload(b"city,degrees\n" + rows, "early.csv")
    early = await system.submit(answer.json()["id"], "anomalies", columns=["nowhere"])
    assert early.status_code == 202, "nothing is known of the columns yet"
    job = await system.settled(f"/jobs/{early.json()['id']}")
    late = await system.submit(answer.json()["id"], "anomalies", columns=["nowhere"])
    assert late.status_code == 422
    assert job["status"] == "failed"
    for name in ("type", "title", "detail", "errors"):
        assert job["error"][name] == late.json()[name]


async def test_bodies_and_ids_that_are_nothing(system: System) -> None:
    unknown = "01900000-0000-7000-8000-000000000000"
    for path in (f"/jobs/{unknown}", f"/datasets/{unknown}", f"/jobs/{unknown}/result", "/jobs/7", "/nowhere"):
        answer = await system.http.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
    malformed = await system.http.post("/jobs", content=b"{", headers={"Content-Type": "application/json"})
    assert malformed.status_code == 400
    cancel = await system.http.post(f"/jobs/{unknown}/cancel")
    assert cancel.status_code == 404


async def test_an_upload_over_the_limit_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, store: ObjectStore, settings: Settings
) -> None:
    before = {key async for key in store.list_keys(settings.s3_datasets_bucket)}
    async with running_system({**environment, "MAX_UPLOAD_BYTES": "1000000"}, tmp_path, worker=False) as system:
        for content in (b"a,b\n" + b"1,2\n" * 500_000, b"a,b\n" + b"1,2\n" * 250_000):
            answer = await system.upload(content, "big.csv")
            assert answer.status_code == 413
            assert "MAX_UPLOAD_BYTES" in answer.json()["detail"] or "1000000" in answer.json()["detail"]
        assert (await system.http.get("/datasets")).json()["items"] == []
    after = {key async for key in store.list_keys(settings.s3_datasets_bucket)}
    assert after - before == set()
