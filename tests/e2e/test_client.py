"""The client and a real API and worker understand each other."""

import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from gristmill.client import Client, Job, ProblemError
from gristmill.processes import Processes, Program

CSV = b"speed,kind\n" + b"".join(b"%d,bird\n" % (100 + row % 7) for row in range(999)) + b"9000,bird\n"


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.fixture
def child_environment(environment: dict[str, str]) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {**os.environ, **environment, "API_PORT": str(probe.getsockname()[1])}


def start(processes: Processes, name: str, environment: dict[str, str], folder: Path) -> None:
    command = [sys.executable, "-m", "gristmill", name]
    processes.start(Program(name, command, environment, log=folder / f"{name}.log", folder=folder))


@pytest.fixture
def client(processes: Processes, child_environment: dict[str, str], tmp_path: Path) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{child_environment['API_PORT']}") as opened:
        start(processes, "api", child_environment, tmp_path)
        processes.wait_ready("api", opened.ready)
        yield opened


def test_from_upload_to_a_checked_download(
    client: Client, processes: Processes, child_environment: dict[str, str], tmp_path: Path
) -> None:
    start(processes, "worker", child_environment, tmp_path)
    (tmp_path / "speeds.csv").write_bytes(CSV)
    uploaded = client.upload(tmp_path / "speeds.csv")
    assert (uploaded.name, uploaded.sha256) == ("speeds.csv", hashlib.sha256(CSV).hexdigest())
    seen: list[Job] = []
    posted = client.submit("anomalies", uploaded.id, {"method": "iqr"})
    job = client.wait(posted.id, on_change=seen.append, timeout_s=60)
    assert (job.status, job.error) == ("completed", None)
    assert seen[-1] == job
    dataset = client.dataset(uploaded.id)
    assert (dataset.status, dataset.rows_read, dataset.rows_loaded, dataset.rows_rejected) == ("ready", 1000, 1000, 0)
    result = client.result(job.id)
    assert result.report["rows_flagged"] == 1
    (table,) = (file for file in result.files if file.rows is not None)
    found = pl.read_parquet(client.download(table, to=tmp_path / table.name))
    assert found.select("row_number", "speed").rows() == [(999, 9000)]
    (flagged,) = client.result_rows(job.id, columns=["speed", "row_number"])
    assert list(flagged.items()) == [("speed", 9000), ("row_number", 999)]
    assert [known.status for known in client.jobs(dataset_id=uploaded.id, kind="ingest")] == ["completed"]


def test_what_was_read_and_what_was_not(
    client: Client, processes: Processes, child_environment: dict[str, str], tmp_path: Path
) -> None:
    start(processes, "worker", child_environment, tmp_path)
    rows = [f"{number},{number % 3}" + ",x" * (number % 400 == 399) for number in range(1300)]
    uploaded = client.upload("\n".join(["n,m", *rows]).encode(), name="flawed.csv")
    (ingest,) = client.jobs(dataset_id=uploaded.id, kind="ingest")
    client.wait(ingest.id, timeout_s=60)
    assert [row["n"] for row in client.rows(uploaded.id)] == [n for n in range(1300) if n % 400 != 399]
    assert next(client.rows(uploaded.id, columns=["m"])) == {"m": 0}
    rejected = [(row.line, row.reason, row.raw) for row in client.rejects(uploaded.id)]
    assert rejected == [(n + 2, "extra cells", f"{n},{n % 3},x") for n in (399, 799, 1199)]
    assert list(client.rejects(uploaded.id, reason="bad JSON")) == []
    profile = client.profile(uploaded.id)
    assert (profile.rows_read, profile.rows_loaded, profile.rows_rejected) == (1300, 1297, 3)
    assert [column["name"] for column in profile.columns] == ["n", "m"]
    assert profile.dialect["format"] == "csv"


def test_a_file_goes_to_the_store_in_parts(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.csv"
    path.write_bytes(b"speed,height\n" + b"12,500\n" * 2_600_000)
    monkeypatch.setattr("gristmill.client.URLS_S", 0.0)  # each part is asked for by itself
    sent: list[int] = []
    dataset = client.upload_presigned(path, on_sent=sent.append)
    assert (dataset.name, dataset.size_bytes, dataset.sha256) == ("big.csv", path.stat().st_size, None)
    assert sent == [16 * 1024 * 1024, path.stat().st_size]


def test_a_job_is_canceled(client: Client) -> None:
    posted = client.submit("metrics", client.upload(CSV, name="speeds").id)
    assert posted.status == "pending", "there is no worker"
    assert client.cancel(posted.id).status == "canceled"
    assert client.wait(posted.id).status == "canceled"


def test_what_the_server_refuses_is_a_problem(client: Client) -> None:
    dataset = client.upload(CSV, name="speeds")
    with pytest.raises(ProblemError) as unknown_kind:
        client.submit("magic", dataset.id)
    assert unknown_kind.value.problem.type.endswith("unknown-kind")
    with pytest.raises(ProblemError) as wrong_params:
        client.submit("anomalies", dataset.id, {"threshold": -1})
    assert wrong_params.value.problem.status == 422
    assert [fault.pointer for fault in wrong_params.value.problem.errors] == ["/params/threshold"]
    with pytest.raises(ProblemError) as not_found:
        client.job(str(uuid4()))
    assert not_found.value.problem.status == 404
    with pytest.raises(ProblemError) as not_ready:
        client.result(client.submit("metrics", dataset.id).id)
    assert not_ready.value.problem.status == 409
    assert not_ready.value.retry_after_s is not None
