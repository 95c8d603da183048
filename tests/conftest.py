"""Real PostgreSQL and real S3 for every test: the embedded services, a migrated template, a fresh clone a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from gristmill import embedded
from gristmill.db.engine import Database
from gristmill.embedded import Endpoints
from gristmill.errors import EmbeddedServiceError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings
from tests.databases import made
from tests.proxy import FaultProxy
from tests.worker.rig import Bench

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".gristmill-test"
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
    with embedded.hold(FOLDER) as held:
        yield held
    with contextlib.suppress(EmbeddedServiceError):  # another session holds them still
        embedded.reset(FOLDER)


@pytest.fixture(scope="session")
async def template_database(endpoints: Endpoints) -> AsyncIterator[str]:
    """The name of a database with the schema at head, to be cloned. Made once a session."""
    async with made(endpoints, "template") as name:
        # Alembic's environment runs an event loop of its own, so it gets a thread of its own.
        await asyncio.to_thread(_migrate, {**endpoints.environment(), "POSTGRES_DB": name})
        yield name


@pytest.fixture
async def environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a process that is to use this test's own database."""
    async with made(endpoints, "test", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name}


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


@pytest.fixture
async def s3_proxy(settings: Settings) -> AsyncIterator[FaultProxy]:
    """A faulty way to the real S3. With a `delay_s` it passes 64 KiB and waits: a test decides how long a job takes."""
    async with FaultProxy.before(settings.s3_endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def bench(settings: Settings, database: Database, store: ObjectStore) -> Bench:
    return Bench(settings, database, store)


def _migrate(environment: dict[str, str]) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["settings"] = load_settings(environment, env_file=None)
    command.upgrade(config, "head")
