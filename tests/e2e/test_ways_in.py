"""Whatever way a dataset comes in, a worker makes it ready: with the digest of its bytes, and with all its rows."""

import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import aioboto3
import httpx

from gristmill.settings import load_settings
from tests.e2e.system import System, running_system

CSV = b"city,degrees\n" + b"".join(b"town %d,%d\n" % (n, n) for n in range(100))
SCALE = {"steps": [{"op": "scale", "method": "minmax"}]}


async def test_what_was_not_received_becomes_ready(environment: dict[str, str], tmp_path: Path) -> None:
    # The embedded store has two buckets: this system keeps all in one, and the other is somebody else's.
    bucket, folder = "datasets", f"landing-{uuid4()}"
    buckets = {"S3_DATASETS_BUCKET": "job-results", "SOURCE_BUCKETS": f"other, {bucket}/{folder}/in/"}
    # Parts of 30 rows: a result of four tables.
    more = {**buckets, "PART_ROWS": "30"}
    async with s3_client(environment) as s3, running_system({**environment, **more}, tmp_path) as system:
        presigned = await by_presigned_urls(system)
        scaled = (await system.submit(presigned["id"], "normalize", **SCALE)).json()
        assert (await system.settled(f"/jobs/{scaled['id']}"))["status"] == "completed"
        await from_a_job(system, scaled["id"])
        await from_a_bucket(system, s3, bucket, folder)


async def by_presigned_urls(system: System) -> Any:
    body = {"name": "towns.csv", "upload": "presigned", "size_bytes": len(CSV)}
    upload = (await system.http.post("/datasets?job=metrics", json=body)).raise_for_status().json()
    async with httpx.AsyncClient() as anybody:
        sent = await anybody.put(upload["parts"][0]["url"], content=CSV)
    parts = [{"number": 1, "etag": sent.headers["ETag"]}]
    made = (await system.http.post(upload["links"]["complete"], json={"parts": parts})).raise_for_status().json()
    dataset = await system.settled(made["links"]["self"])
    assert (dataset["status"], dataset["rows_loaded"], dataset["error"]) == ("ready", 100, None)
    assert dataset["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert (await system.settled(made["links"]["job"]))["status"] == "completed"
    return dataset


async def from_a_job(system: System, job: str) -> None:
    tables = (await system.http.get(f"/jobs/{job}/result")).json()["files"]
    assert len([file for file in tables if file["name"].endswith(".parquet")]) == 4
    made = (await system.http.post("/datasets", json={"name": "scaled", "from_job": job})).raise_for_status().json()
    dataset = await system.settled(made["links"]["self"])
    assert (dataset["status"], dataset["rows_loaded"], dataset["error"]) == ("ready", 100, None)
    assert len(dataset["sha256"]) == 64
    assert [column["name"] for column in dataset["columns"]] == ["city", "degrees"]
    assert (await system.http.delete(f"/jobs/{job}")).status_code == 204, "it is a dataset of its own"
    figures = (await system.submit(dataset["id"])).json()
    assert (await system.settled(f"/jobs/{figures['id']}"))["status"] == "completed"


async def from_a_bucket(system: System, s3: Any, bucket: str, folder: str) -> None:
    await s3.put_object(Bucket=bucket, Key=f"{folder}/in/größe 1%.csv", Body=CSV)
    await s3.put_object(Bucket=bucket, Key=f"{folder}/out/secret.csv", Body=CSV)
    body = {"name": "towns", "source": f"s3://{bucket}/{folder}/in/größe 1%.csv"}
    made = (await system.http.post("/datasets", json=body)).raise_for_status().json()
    dataset = await system.settled(made["links"]["self"])
    assert (dataset["status"], dataset["rows_loaded"], dataset["error"]) == ("ready", 100, None)
    assert dataset["sha256"] == hashlib.sha256(CSV).hexdigest()
    for key in ("out/secret.csv", "in/missing.csv", "in"):
        refusal = await system.http.post("/datasets", json={"name": "x", "source": f"s3://{bucket}/{folder}/{key}"})
        assert refusal.status_code == 422, key
        assert refusal.json()["errors"][0]["pointer"] == "/source"
    await s3.delete_objects(
        Bucket=bucket,
        Delete={"Objects": [{"Key": f"{folder}/{key}"} for key in ("in/größe 1%.csv", "out/secret.csv")]},
    )


def s3_client(environment: dict[str, str]) -> Any:
    settings = load_settings(environment, env_file=None)
    return aioboto3.Session().client(
        "s3",
        endpoint_url=str(settings.s3_endpoint_url),
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
