"""Real PostgreSQL and real S3 for every test: the embedded services, a migrated template, a fresh clone a test."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from gristmill import embedded
from gristmill.db.engine import Database
from gristmill.embedded import Endpoints
from gristmill.errors import EmbeddedServiceError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
SETTINGS = [name.upper() for name in Settings.model_fields] + ["MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"]


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """A developer's own `POSTGRES_HOST` and the like must not lead a test to another database."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
            patch.delenv(f"{name}_FILE", raising=False)
        yield


@pytest.fixture(scope="session")
def endpoints() -> Iterator[Endpoints]:
    """The tests' own embedded services, held for the session; shared with other sessions, wiped by the last."""
    folder = ROOT / ".gristmill-test"
    with embedded.hold(folder) as held:
        yield held
    with contextlib.suppress(EmbeddedServiceError):  # another session holds them still
        embedded.reset(folder)


@pytest.fixture(scope="session")
async def template_database(endpoints: Endpoints) -> AsyncIterator[str]:
    """The name of a database with the schema at head, to be cloned. Made once a session."""
    name = f"template_{os.getpid()}_{uuid4().hex[:8]}"
    async with _admin(endpoints) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
    try:
        # Alembic's environment runs an event loop of its own, so it gets a thread of its own.
        await asyncio.to_thread(_migrate, {**endpoints.environment(), "POSTGRES_DB": name})
        yield name
    finally:
        async with _admin(endpoints) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a process that is to use this test's own database."""
    name = f"test_{os.getpid()}_{uuid4().hex[:8]}"
    async with _admin(endpoints) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    try:
        yield {**endpoints.environment(), "POSTGRES_DB": name}
    finally:
        async with _admin(endpoints) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """Settings for this test's own database and the shared buckets."""
    return load_settings(environment, env_file=None)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with Database.open(settings) as opened:
        yield opened


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[ObjectStore]:
    async with ObjectStore.open(settings) as opened:
        yield opened


def _migrate(environment: dict[str, str]) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["settings"] = load_settings(environment, env_file=None)
    command.upgrade(config, "head")


@asynccontextmanager
async def _admin(endpoints: Endpoints) -> AsyncIterator[asyncpg.Connection]:
    """A connection that makes and drops databases. The clones' owner may do that."""
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
