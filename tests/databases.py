"""Databases made for a test, and dropped after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from gristmill.embedded import Endpoints
from gristmill.embedded.places import Places
from gristmill.embedded.postgres import SUPERUSER

MOST_DROPS = 40


@asynccontextmanager
async def administering(endpoints: Endpoints) -> AsyncIterator[asyncpg.Connection]:
    """A connection that makes and drops databases. The role of the services may do that."""
    connection = await asyncpg.connect(
        host=endpoints.postgres_host,
        port=endpoints.postgres_port,
        user=endpoints.postgres_user,
        password=endpoints.postgres_password,
        database=endpoints.postgres_db,
        ssl=False,
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def ruling(endpoints: Endpoints, folder: Path, database: str) -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """A connection of the superuser of the services in `folder`, and its password."""
    services = Places(folder).read_services()
    assert services is not None
    password = services.postgres_superuser_password
    connection = await asyncpg.connect(
        host=endpoints.postgres_host,
        port=endpoints.postgres_port,
        user=SUPERUSER,
        password=password,
        database=database,
        ssl=False,
    )
    try:
        yield connection, password
    finally:
        await connection.close()


@asynccontextmanager
async def made(endpoints: Endpoints, kind: str, *, template: str = "template1") -> AsyncIterator[str]:
    """The name of a new database, a copy of `template`."""
    name = f"{kind}_{uuid4().hex[:12]}"
    async with administering(endpoints) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield name
    finally:
        async with administering(endpoints) as admin:
            await _drop(admin, name)


async def _drop(admin: asyncpg.Connection, name: str) -> None:
    """Drop a database with all who use it. PostgreSQL's own autovacuum can't be ended by us: it ends soon."""
    for tries_left in reversed(range(MOST_DROPS)):
        try:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        except asyncpg.InsufficientPrivilegeError:
            if not tries_left:
                raise
            await asyncio.sleep(0.5)
        else:
            return
