"""What is compared with: Litestar and asyncpg and nothing else. Answers the same bodies as the API does.

    python -m benches.api.bare PORT

The server has the options of the API's own, the pool as many connections. There is no access check, no limit, no
header of its own, no error of its own, no idempotency; it takes what it is sent. With a key it looks the key up, as
whoever wants keys has to. Statements are asyncpg's, on its own pool.
"""

import hashlib
import hmac
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import uvicorn
import uvloop
from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import FromPath

from gristmill.api.app import server_options
from gristmill.api.jobs import Job
from gristmill.db.engine import connect_options
from gristmill.domain.job import JobStatus
from gristmill.settings import Settings, load_settings

OWNER = "local"
GET = """
SELECT id, kind, kind_version, dataset_id, input_job_id, status, blocked, waits_for, reused_from, params, labels,
    priority, limit_key, attempt, max_attempts, timeout_s, webhook_id, created_at, updated_at, scheduled_at, started_at,
    cancel_requested_at, finished_at
FROM jobs WHERE id = $1 AND owner = $2
"""
KEY = "SELECT owner, secret_sha256 FROM api_keys WHERE id = $1"
# The same rows and the same wake-up as the API's, in one statement, which is the fastest way to have them.
ADD = """
WITH added AS (
    INSERT INTO jobs (owner, dataset_id, kind, kind_version, params, labels, max_attempts, timeout_s, reuse_key)
    VALUES ($1, $2, $3, $4, $5, '{}', 5, 3600, $6) RETURNING *
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'created', 0 FROM added
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', json_build_array(priority, kind, owner, limit_key)::text) FROM added
)
SELECT added.* FROM added, woken
"""


class NewJob(msgspec.Struct):
    kind: str
    dataset_id: UUID
    params: msgspec.Raw


def create_app(settings: Settings) -> Litestar:
    held: list[asyncpg.Pool[Any]] = []

    @asynccontextmanager
    async def pooled(_: Litestar) -> AsyncIterator[None]:
        size = settings.postgres_pool_size
        async with asyncpg.create_pool(
            host=settings.postgres_host,
            port=settings.postgres_port,
            user=settings.postgres_user,
            password=settings.postgres_password.get_secret_value(),
            database=settings.postgres_db,
            min_size=size,
            max_size=size,
            **connect_options(settings, application="bare"),
        ) as pool:
            held.append(pool)
            yield

    @get("/jobs/{job_id:uuid}")
    async def look(job_id: FromPath[UUID]) -> Job:
        return told(await found(held[0], job_id, OWNER))

    @get("/keyed/jobs/{job_id:uuid}")
    async def look_with_key(job_id: FromPath[UUID], request: Request[Any, Any, Any]) -> Job:
        key_id, secret = request.headers["Authorization"].removeprefix("Bearer gm_").split("_")
        async with held[0].acquire() as connection:
            key = await connection.fetchrow(KEY, key_id)
        if key is None or not hmac.compare_digest(key["secret_sha256"], hashlib.sha256(secret.encode()).hexdigest()):
            raise NotAuthorizedException
        return told(await found(held[0], job_id, key["owner"]))

    @post("/jobs", status_code=202)
    async def submit(request: Request[Any, Any, Any]) -> Job:
        data = msgspec.json.decode(await request.body(), type=NewJob)
        params = bytes(data.params).decode()
        reuse_key = hashlib.sha256(data.params).hexdigest()
        async with held[0].acquire() as connection:
            record = await connection.fetchrow(ADD, OWNER, data.dataset_id, data.kind, 1, params, reuse_key)
        return told(record)

    return Litestar(
        [look, look_with_key, submit], lifespan=[pooled], openapi_config=None, logging_config=None, debug=False
    )


async def found(pool: "asyncpg.Pool[Any]", job_id: UUID, owner: str) -> Any:
    async with pool.acquire() as connection:
        record = await connection.fetchrow(GET, job_id, owner)
    if record is None:
        raise NotFoundException
    return record


def told(record: Any) -> Job:
    """A job that is pending: there is no error, progress or result to tell of."""
    path = f"/jobs/{record['id']}"
    return Job(
        id=record["id"],
        kind=record["kind"],
        kind_version=record["kind_version"],
        dataset_id=record["dataset_id"],
        input_job_id=record["input_job_id"],
        status=JobStatus(record["status"]),
        waits_for_dataset=record["blocked"],
        waits_for=record["waits_for"],
        reused_from=record["reused_from"],
        params=msgspec.Raw(record["params"].encode()),
        labels=msgspec.json.decode(record["labels"]),
        priority=record["priority"],
        limit_key=record["limit_key"],
        attempt=record["attempt"],
        max_attempts=record["max_attempts"],
        timeout_s=record["timeout_s"],
        webhook=record["webhook_id"],
        progress=None,
        error=None,
        result=None,
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        scheduled_at=record["scheduled_at"],
        started_at=record["started_at"],
        cancel_requested_at=record["cancel_requested_at"],
        finished_at=record["finished_at"],
        links={
            "self": path,
            "events": f"{path}/events",
            "result": f"{path}/result",
            "dataset": f"/datasets/{record['dataset_id']}",
            "cancel": f"{path}/cancel",
        },
    )


async def serve(port: int) -> None:
    app = create_app(load_settings(env_file=None))
    config = uvicorn.Config(app, **server_options())
    with socket.create_server(("127.0.0.1", port), backlog=config.backlog) as listener:
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
