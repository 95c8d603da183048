"""Promise: who has no key gets nothing once there are keys, and what is another owner's does not exist."""

import asyncio
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key, keys_exist, revoke_key
from gristmill.domain.key import Scope, make_key
from gristmill.metrics import KEY_OUTCOMES
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import complete, make_ready
from tests.api.serving import ROOT, Served, free_port, until
from tests.exposition import parsed

CSV = {"file": ("a.csv", b"a\n1\n")}
READ_WRITE = (Scope.READ, Scope.WRITE)


async def token(database: Database, owner: str, *scopes: Scope, expires_at: datetime | None = None) -> str:
    made, key = make_key(owner, scopes or READ_WRITE, expires_at=expires_at)
    await add_key(database, key)
    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def keys_needed(client: httpx.AsyncClient, database: Database) -> None:
    """There is a key, and the server knows."""
    if not await keys_exist(database):
        await token(database, "somebody")

    async def asked_for() -> bool:
        return (await client.get("/jobs")).status_code == 401

    await until(asked_for)


async def test_without_keys_other_sites_cannot_act_through_the_browser(
    client: httpx.AsyncClient, database: Database, served: Served
) -> None:
    assert not await keys_exist(database), "this test comes first"
    foreign = await client.get("/jobs", headers={"Origin": "https://evil.example"})
    rebound = await client.get("/jobs", headers={"Host": "evil.example"})
    for answer in (foreign, rebound):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:gristmill:problem:forbidden")
    own = await client.get("/jobs", headers={"Origin": served.url})
    assert own.status_code == 200
    assert (await client.get("/jobs", headers={"Host": "localhost"})).status_code == 200


@pytest.mark.usefixtures("keys_needed")
async def test_every_route_but_docs_and_health_needs_a_key(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            filled = re.sub(r"\{\w+_id\}", JOB, path).replace("{kind}", "metrics")
            filled = filled.replace("{limit_scope}", "kind").replace("{name}", "metrics")
            answer = await client.request(method, filled)
            if path.startswith("/health/"):
                assert answer.status_code == 200
            else:
                assert (answer.status_code, answer.json()["status"]) == (401, 401), path
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await client.get(path)).status_code == 200


JOB = "01900000-0000-7000-8000-000000000000"


@pytest.mark.usefixtures("keys_needed")
async def test_a_key_that_is_wrong_expired_or_revoked_opens_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    good = await token(database, "ann")
    past = await token(database, "ann", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await token(database, "ann")
    assert (await client.get("/jobs", headers=bearer(revoked))).status_code == 200
    await revoke_key(database, revoked.split("_")[1])
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    for key in (past, revoked, wrong, "gm_x_y", "nothing", "gm_" + "é" * 12, f"{good} {good}"):
        answer = await client.get("/jobs", headers=[(b"Authorization", f"Bearer {key}".encode())])
        assert answer.status_code == 401, key
    assert (await client.get("/jobs", headers={"Authorization": f"Basic {good}"})).status_code == 401
    assert (await client.get("/jobs", headers=bearer(good))).status_code == 200


@pytest.mark.usefixtures("keys_needed")
@pytest.mark.usefixtures("keys_needed")
async def test_checks_of_keys_are_counted_by_what_they_came_to(client: httpx.AsyncClient, database: Database) -> None:
    """A reason is looked up once a minute for a key, and counted for every refusal."""

    async def counted() -> dict[str, float]:
        found = parsed((await client.get("/metrics", headers=bearer(reader))).raise_for_status().text)
        return {name: found[f'gristmill_key_checks_total{{outcome="{name}"}}'] for name in KEY_OUTCOMES}

    reader = await token(database, "prometheus", Scope.READ)
    good = await token(database, "ann")
    gone = await token(database, "ann", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    ended = await token(database, "ann")
    await revoke_key(database, ended.split("_")[1])
    before = await counted()
    for key in (good, gone, gone, ended, good[:-1] + ("a" if good[-1] != "a" else "b"), f"gm_{'a' * 12}_{'b' * 43}"):
        await client.get("/jobs", headers=bearer(key))
    await client.get("/jobs", headers={"Authorization": "Basic nonsense"})
    await client.get("/jobs")
    await client.post("/queue/pause", headers=bearer(good))
    after = await counted()
    grown = {name: after[name] - before[name] for name in KEY_OUTCOMES}
    # One more that is ok: the look before.
    assert grown == {
        "ok": 2, "missing": 1, "unknown": 2, "wrong_secret": 1, "expired": 2, "revoked": 1, "lacks_scope": 1,
    }  # fmt: skip


async def test_a_scope_allows_what_it_says(client: httpx.AsyncClient, database: Database) -> None:
    reader = bearer(await token(database, "ann", Scope.READ))
    writer = bearer(await token(database, "ann", Scope.WRITE))
    admin = bearer(await token(database, "ann", Scope.ADMIN))
    assert (await client.get("/datasets", headers=reader)).status_code == 200
    assert (await client.post("/datasets", files=CSV, headers=reader)).status_code == 403
    assert (await client.get("/datasets", headers=writer)).status_code == 403
    assert (await client.post("/datasets", files=CSV, headers=writer)).status_code == 201
    assert (await client.get("/datasets", headers=admin)).status_code == 200
    assert (await client.head("/datasets", headers=reader)).status_code == 200


@pytest.mark.usefixtures("keys_needed")
async def test_what_is_another_owners_does_not_exist(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> None:
    ann, bob = bearer(await token(database, "ann")), bearer(await token(database, "bob"))
    made = (await client.post("/datasets", files=CSV, headers=ann)).json()
    await make_ready(database, made["links"]["ingest_job"])
    body = {"kind": "metrics", "dataset_id": made["id"], "reuse": "none"}
    job = (await client.post("/jobs", json=body, headers=ann)).json()
    await complete(database, store, settings, job["id"])
    again = (await client.post("/jobs", json=body, headers=ann)).json()
    daily = {"name": "daily", "cron": "0 0 * * *", "job": body}
    schedule = (await client.post("/schedules", json=daily, headers=ann)).raise_for_status().json()

    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/datasets/{made['id']}", {}),
        ("GET", f"/jobs/{job['id']}", {}),
        ("GET", f"/jobs/{job['id']}/result", {}),
        ("GET", f"/jobs/{job['id']}/events", {}),
        ("GET", f"/jobs/{job['id']}/result/rows", {}),
        *(
            ("GET", f"/datasets/{made['id']}/{name}", {})
            for name in ("rows", "rejects", "rejects/content", "profile", "content")
        ),
        ("POST", f"/jobs/{again['id']}/cancel", {}),
        ("POST", f"/jobs/{again['id']}/retry", {}),
        ("POST", "/jobs", {"json": body}),
        ("POST", "/jobs", {"json": {"kind": "metrics", "input": {"job_id": job["id"]}}}),
        ("GET", f"/schedules/{schedule['id']}", {}),
        ("PATCH", f"/schedules/{schedule['id']}", {"json": {"paused": True}}),
        ("DELETE", f"/schedules/{schedule['id']}", {}),
        ("POST", "/schedules", {"json": daily}),
        ("POST", "/jobs", {"json": {"kind": "metrics", "input": {"dataset_id": made["id"]}}}),
    ]
    for method, path, more in calls:
        answer = await client.request(method, path, headers=bob, **more)
        assert answer.status_code == 404, (method, path)
        assert made["id"] not in answer.json()["detail"]
    for path in ("/datasets", "/jobs", f"/jobs?dataset_id={made['id']}", "/jobs?kind=ingest", "/schedules"):
        assert (await client.get(path, headers=bob)).json() == {"items": []}
    assert (await client.get(f"/jobs/{again['id']}", headers=ann)).json()["status"] == "pending"
    page = (await client.get("/jobs", params={"limit": 1}, headers=ann)).json()
    stolen = await client.get("/jobs", params={"limit": 1, "cursor": page["next"]}, headers=bob)
    assert stolen.status_code == 400


async def refused(environment: dict[str, str], **more: str) -> str:
    """What the server says when it refuses to start."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gristmill", "api"],
        cwd=ROOT,
        env={**os.environ, **environment, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return str(ended.stderr)


async def test_without_keys_it_does_not_listen_beyond_this_machine(environment: dict[str, str]) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 (it must refuse)
    said = await refused(environment, API_HOST=everywhere, API_PORT=str(free_port()))
    assert "gristmill keys create --owner" in said


async def test_a_port_that_is_taken_is_said_plainly(served: Served, environment: dict[str, str]) -> None:
    said = await refused(environment, API_PORT=str(served.port))
    assert f"API_PORT={served.port}" in said
