"""The clients and a real API and worker understand each other."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from gristmill import AsyncClient, Client
from gristmill.client import JobInfo, Retry, errors
from gristmill.embedded import Endpoints
from tests.databases import made
from tests.e2e.system import System, running_system

ROOT = Path(__file__).parents[2]
CSV = b"speed,kind\n" + b"".join(b"%d,bird\n" % (100 + row % 7) for row in range(999)) + b"9000,bird\n"
FAR = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture(scope="module")
async def live(
    endpoints: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with made(endpoints, "client", template=template_database) as name:
        environment = {**endpoints.environment(), "POSTGRES_DB": name}
        async with running_system(environment, tmp_path_factory.mktemp("live")) as system:
            yield system


@pytest.fixture
def client(live: System) -> Iterator[Client]:
    with Client(live.url) as opened:
        yield opened


def test_from_upload_to_a_checked_download(client: Client, tmp_path: Path) -> None:
    (tmp_path / "speeds.csv").write_bytes(CSV)
    dataset = client.upload(tmp_path / "speeds.csv")
    assert (dataset.name, dataset.info.sha256) == ("speeds.csv", hashlib.sha256(CSV).hexdigest())
    seen: list[JobInfo] = []
    job = client.submit("anomalies", dataset, {"method": "iqr"}, labels={"for": "test"})
    job.wait(on_change=seen.append, timeout_s=60)
    assert (job.status, job.error) == ("completed", None)
    assert seen[-1] == job.info
    info = dataset.refresh().info
    assert (info.status, info.rows_read, info.rows_loaded, info.rows_rejected) == ("ready", 1000, 1000, 0)
    result = job.result()
    assert result.report()["rows_flagged"] == 1
    found = result.to_polars()
    assert found.select("row_number", "speed").rows() == [(999, 9000)]
    assert found.equals(pl.read_parquet(result.download(tmp_path)))
    names = sorted(path.name for path in result.download_all(tmp_path / "all"))
    assert names == sorted(file.name for file in result.files)
    (flagged,) = result.rows(columns=["speed", "row_number"])
    assert list(flagged.items()) == [("speed", 9000), ("row_number", 999)]
    assert [known.status for known in client.jobs(dataset=dataset, kind="ingest")] == ["completed"]
    assert [known.id for known in client.jobs(labels=["for:test"])] == [job.id]
    assert [event.type for event in job.events()][-1] == "completed"
    assert {"anomalies", "metrics", "normalize"} <= {kind.kind for kind in client.kinds()}
    assert [worker.slots for worker in client.workers()] == [1]
    assert not client.queue().paused


async def test_the_same_with_await_from_a_frame(live: System) -> None:
    frame = pl.DataFrame({"speed": [*range(100, 150), 9000], "born": [FAR] * 51})
    async with AsyncClient(live.url) as client:
        dataset = await client.upload(frame.lazy(), name="frame")
        job = await client.submit("anomalies", dataset, {"method": "iqr", "columns": ["speed"]})
        types = [event.type async for event in job.events()]
        assert (types[0], types[-1]) == ("created", "completed")
        assert types.count("claimed") == 1
        await job.wait(timeout_s=60)
        result = await job.result()
        assert (await result.to_polars())["speed"].to_list() == [9000]
        assert [row["speed"] async for row in result.rows()] == [9000]
        assert (await dataset.wait(timeout_s=60)).status == "ready"
        assert [known.id async for known in client.datasets(name="frame")] == [dataset.id]
        assert [column["name"] for column in (await dataset.profile()).columns] == ["speed", "born"]
        with pytest.raises(errors.NotFound):
            await client.job(str(uuid4()))


def test_what_was_read_and_what_was_not(client: Client) -> None:
    rows = [f"{number},{number % 3}" + ",x" * (number % 400 == 399) for number in range(1300)]
    dataset = client.upload("\n".join(["n,m", *rows]).encode(), name="flawed.csv").wait(timeout_s=60)
    assert [row["n"] for row in dataset.rows()] == [n for n in range(1300) if n % 400 != 399]
    assert next(dataset.rows(columns=["m"])) == {"m": 0}
    rejected = [(row.line, row.reason, row.raw) for row in dataset.rejects()]
    assert rejected == [(n + 2, "extra cells", f"{n},{n % 3},x") for n in (399, 799, 1199)]
    assert list(dataset.rejects(reason="bad JSON")) == []
    profile = dataset.profile()
    assert (profile.rows_read, profile.rows_loaded, profile.rows_rejected) == (1300, 1297, 3)
    assert [column["name"] for column in profile.columns] == ["n", "m"]
    assert profile.dialect["format"] == "csv"


def test_open_files_are_uploaded_from_where_they_stand_and_pipes_to_their_end(client: Client, tmp_path: Path) -> None:
    opened = io.BytesIO(b"not this\n" + CSV)
    opened.seek(len(b"not this\n"))
    assert client.upload(opened, name="a.csv").info.sha256 == hashlib.sha256(CSV).hexdigest()
    assert not opened.closed
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,2\n")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        piped = client.upload(pipe, name="piped.csv", options={"types": "text"}).wait(timeout_s=60)
    assert [(column.name, column.type) for column in piped.columns or ()] == [("a", "String"), ("b", "String")]
    with pytest.raises(TypeError, match="can't be uploaded"):
        client.upload(7)  # type: ignore[arg-type]


def test_a_big_file_goes_to_the_store_in_parts(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.csv"
    path.write_bytes(b"speed,height\n" + b"12,500\n" * 2_600_000)
    monkeypatch.setattr("gristmill.client.uploads.URLS_S", 0.0)  # each part is asked for by itself
    monkeypatch.setattr("gristmill.client.uploads.BIG_BYTES", path.stat().st_size)
    sent: list[int] = []
    dataset = client.upload(path, on_sent=sent.append)
    assert (dataset.name, dataset.info.size_bytes, dataset.info.sha256) == ("big.csv", path.stat().st_size, None)
    assert sent == [16 * 1024 * 1024, path.stat().st_size]


async def test_where_the_store_is_out_of_reach_a_big_file_goes_through_the_api(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.client.uploads.BIG_BYTES", 1)
    lost = {**environment, "S3_PUBLIC_ENDPOINT_URL": "http://127.0.0.1:1"}
    async with (
        running_system(lost, tmp_path, worker=False) as system,
        AsyncClient(system.url, retry=Retry(base_s=0.0)) as client,
    ):
        dataset = await client.upload(CSV, name="speeds.csv")
    assert dataset.info.sha256 == hashlib.sha256(CSV).hexdigest()


def test_a_job_is_planned_canceled_and_run_again(client: Client) -> None:
    dataset = client.upload(CSV, name="speeds.csv")
    assert client.plan("metrics", dataset).params != {}
    job = client.submit("metrics", dataset, scheduled_at=FAR, reuse="none")
    assert job.status == "pending"
    assert job.cancel().status == "canceled"
    assert job.wait().status == "canceled"
    with pytest.raises(errors.JobCanceled):
        job.result()
    with pytest.raises(errors.Conflict):
        job.cancel()
    assert job.retry().status == "pending"


def test_a_key_makes_one_job_however_often_it_is_sent(client: Client) -> None:
    dataset = client.upload(CSV, name="speeds.csv", key=str(uuid4()))
    key = str(uuid4())
    first, second = (client.submit("metrics", dataset, scheduled_at=FAR, reuse="none", key=key) for _ in range(2))
    assert first.id == second.id
    with pytest.raises(errors.KeyReused):
        client.submit("anomalies", dataset, key=key)
    first.cancel()


def test_what_the_server_refuses_is_a_problem_of_its_class(client: Client) -> None:
    dataset = client.upload(CSV, name="speeds.csv")
    with pytest.raises(errors.UnknownKind):
        client.submit("magic", dataset)
    with pytest.raises(errors.InvalidRequest) as wrong_params:
        client.submit("anomalies", dataset, {"threshold": -1})
    assert [fault.pointer for fault in wrong_params.value.errors] == ["/params/threshold"]
    with pytest.raises(errors.NotFound):
        client.job(str(uuid4()))
    with pytest.raises(errors.ResultNotReady) as not_ready:
        client.submit("metrics", dataset, scheduled_at=FAR, reuse="none").result()
    assert not_ready.value.retry_after_s is not None
    with pytest.raises(errors.UnsupportedFormat):
        client.upload(CSV, name="speeds")
    with pytest.raises(ValueError, match="dataset or"):
        client.submit("metrics")


DRIVE = """
import os, sys, tempfile
from gristmill import Client
from gristmill.client.errors import NeedsPolars

with Client() as client:
    dataset = client.upload(b"n\\n" + b"1\\n2\\n3\\n" * 20 + b"99\\n", name="n.csv")
    job = client.submit("anomalies", dataset).wait(timeout_s=60)
    result = job.result()
    assert [row["n"] for row in result.rows()] == [99], job.info
    with tempfile.TemporaryDirectory() as folder:
        assert result.download(folder).stat().st_size == result.info.main.size_bytes
    try:
        result.to_polars()
    except NeedsPolars as error:
        assert "gristmill[polars]" in str(error)
ours = {name for name in sys.modules if name.startswith("gristmill.")}
print(*sorted({name.partition(".")[0] for name in sys.modules} | ours))
"""
SERVER_ONLY = {"litestar", "uvicorn", "uvloop", "asyncpg", "sqlalchemy", "alembic", "aioboto3", "obstore", "aiohttp",
               "pydantic_settings", "structlog", "polars", "numpy", "zstandard", "openpyxl"}  # fmt: skip


def test_without_extras_client_and_commands_work_and_no_server_comes_along(live: System, tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")

    def run(*command: str | Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "GRISTMILL_URL": live.url}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT)
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "fresh")
    here = tmp_path / "fresh" / "bin"
    run(uv, "pip", "install", "--quiet", "--python", here / "python", next(tmp_path.glob("*.whl")))
    installed = json.loads(run(uv, "pip", "list", "--format", "json", "--python", here / "python").stdout)
    assert not {package["name"].replace("-", "_") for package in installed} & SERVER_ONLY
    loaded = set(run(here / "python", "-c", DRIVE).stdout.split())
    assert not loaded & SERVER_ONLY
    assert {name.split(".")[1] for name in loaded if name.startswith("gristmill.")} == {"client"}
    assert list((tmp_path / "fresh").rglob("gristmill/py.typed")), "the types come along"
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    assert run(here / "gristmill", "submit", "n.csv", "--kind", "metrics", "--wait").stdout.strip()
    assert "pip install 'gristmill[server]'" in run(here / "gristmill", "api", code=2).stderr
    assert "pip install 'gristmill[local]'" in run(here / "gristmill", "profile", "n.csv", code=2).stderr
