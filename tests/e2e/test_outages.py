"""PostgreSQL or S3 away, at the start or in between: clear problems, no half rows, and all goes on by itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gristmill import embedded
from gristmill.db.migrations import upgrade
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings
from tests.e2e.system import LIVE, System, free_port, running_system
from tests.proxy import FaultProxy
from tests.worker.rig import until

CSV = b"city,degrees\nUlm,1.5\nBonn,2.5\nKiel,3.0\n"
QUICK = {"POSTGRES_DEADLINE_S": "2", "S3_DEADLINE_S": "2"}


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[FaultProxy]:
    async with FaultProxy.to(settings.postgres_host, settings.postgres_port) as proxy:
        yield proxy


@pytest.fixture
def s3(s3_proxy: FaultProxy) -> FaultProxy:
    return s3_proxy


def through(environment: dict[str, str], postgres: FaultProxy) -> dict[str, str]:
    host, _, port = postgres.url.removeprefix("http://").rpartition(":")
    return {**environment, **QUICK, "POSTGRES_HOST": host, "POSTGRES_PORT": port}


async def assert_whole_flow(system: System) -> None:
    answer = await system.upload(CSV, "good.csv")
    assert answer.status_code == 201, answer.text
    job = await system.submit(answer.json()["id"])
    assert job.status_code == 202, job.text
    assert (await system.settled(f"/jobs/{job.json()['id']}"))["status"] == "completed"


async def until_ready(system: System) -> None:
    async def ready() -> bool:
        return (await system.http.get("/health/ready")).status_code == 200

    await until(ready, "the API recovers by itself")


async def test_without_postgresql_at_the_start_the_api_answers_and_recovers(
    environment: dict[str, str], postgres: FaultProxy, tmp_path: Path
) -> None:
    await postgres.refuse()
    async with running_system(through(environment, postgres), tmp_path, ready=LIVE) as system:
        for answer in (
            await system.http.get("/jobs"),
            await system.upload(CSV, "good.csv"),
            await system.http.get("/health/ready"),
        ):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Traceback" not in answer.text
        assert (await system.http.get(LIVE)).status_code == 200
        await postgres.accept()
        await until_ready(system)
        await assert_whole_flow(system)


async def test_postgresql_cut_and_frozen_in_between(
    environment: dict[str, str], postgres: FaultProxy, tmp_path: Path
) -> None:
    async with running_system(through(environment, postgres), tmp_path) as system:
        await assert_whole_flow(system)
        postgres.reset()
        await until_ready(system)
        await assert_whole_flow(system)
        postgres.freeze()
        assert (await system.http.get("/jobs")).status_code == 503
        postgres.thaw()
        await until_ready(system)
        await assert_whole_flow(system)


async def test_without_s3_an_upload_is_refused_and_leaves_no_row(
    environment: dict[str, str], s3: FaultProxy, tmp_path: Path
) -> None:
    async with running_system({**environment, **QUICK, "S3_ENDPOINT_URL": s3.url}, tmp_path) as system:
        await s3.refuse()
        refused = await system.upload(CSV, "good.csv")
        assert refused.status_code == 503
        assert refused.json()["type"].endswith(":store-unavailable")
        assert (await system.http.get("/datasets")).json()["items"] == []
        assert (await system.http.get("/health/ready")).status_code == 503
        await s3.accept()
        await until_ready(system)
        await assert_whole_flow(system)


async def test_a_job_waits_out_an_outage_of_s3(environment: dict[str, str], s3: FaultProxy, tmp_path: Path) -> None:
    settings = {**environment, **QUICK, "S3_ENDPOINT_URL": s3.url, "MAX_ATTEMPTS": "50"}
    async with running_system(settings, tmp_path) as system:
        dataset = await system.settled(f"/datasets/{(await system.upload(CSV, 'good.csv')).json()['id']}")
        await s3.refuse()
        job = await system.submit(dataset["id"])
        path = f"/jobs/{job.json()['id']}"

        async def retried() -> bool:
            events = (await system.http.get(f"{path}/events")).json()["items"]
            return any(event["type"] == "retrying" for event in events)

        await until(retried, "the attempt fails and is tried again")
        await s3.accept()
        assert (await system.settled(path))["status"] == "completed"


@pytest.mark.parametrize("command", ["migrate", "buckets"])
def test_a_command_without_its_service_says_so_in_a_line(command: str, environment: dict[str, str]) -> None:
    port = str(free_port())
    nowhere = {"POSTGRES_PORT": port, "S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    ended = subprocess.run(
        [sys.executable, "-m", "gristmill", command],
        env={"PATH": os.environ["PATH"], **environment, **QUICK, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("gristmill: ")


def test_doctor_names_what_is_missing(environment: dict[str, str]) -> None:
    port = str(free_port())
    ended = subprocess.run(
        [sys.executable, "-m", "gristmill", "doctor"],
        env={"PATH": os.environ["PATH"], **environment, **QUICK, "S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert any(line.startswith("ok") and "PostgreSQL" in line for line in lines)
    assert any(line.startswith("FAIL") and "S3" in line for line in lines)
    assert any("S3_ENDPOINT_URL" in line for line in lines), "it says how to mend it"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder that holds 700 MB. Only root can make one."""
    if os.geteuid() != 0:
        pytest.skip("a disk of a fixed size is root's to make")
    with TemporaryDirectory(prefix="small disk ") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers' own user has to reach it
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m,mode=755", "tmpfs", name], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


async def test_a_full_disk_refuses_uploads_and_keeps_what_it_has(small_disk: Path, tmp_path: Path) -> None:
    # Numbers without a pattern: the store compresses what it can.
    block = os.urandom(30_000_000).hex().encode()
    content = b"a\n" + b"\n".join(block[at : at + 60] for at in range(0, len(block), 60))
    with embedded.hold(small_disk / "data") as endpoints:
        await upgrade(load_settings(endpoints.environment(), env_file=None))
        async with running_system({**endpoints.environment(), **QUICK}, tmp_path, worker=False) as system:
            kept: list[str] = []
            assert shutil.disk_usage(small_disk).used > 30_000_000, "the data is on the small disk"
            for _ in range(40):
                answer = await system.upload(content, "noise.csv")
                if answer.status_code != 201:
                    break
                kept.append(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"].endswith(":store-unavailable")
            listed = [item["id"] for item in (await system.http.get("/datasets?limit=100")).json()["items"]]
            assert listed == kept[::-1]
            assert kept
        settings = load_settings(endpoints.environment(), env_file=None)
        async with ObjectStore.open(settings) as store:
            for dataset_id in kept:
                stored = [chunk async for chunk in store.stream("datasets", f"{dataset_id}/original")]
                assert b"".join(stored) == content
