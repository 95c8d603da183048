"""One real server, with one database of its own, for each module of tests."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.embedded import Endpoints
from gristmill.settings import Settings, load_settings
from tests.api.queue_side import make_ready
from tests.api.serving import Served, serving
from tests.databases import made


@pytest.fixture(scope="module")
async def module_environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a server with a database that the module's tests share."""
    async with made(endpoints, "api", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name, "MAX_UPLOAD_BYTES": str(24 * 1024 * 1024)}


@pytest.fixture(scope="module")
def served(module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(module_environment, tmp_path_factory.mktemp("api") / "log") as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server; no answer of it may have been a defect of ours."""
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as opened:
        yield opened
    assert "api.request_failed" not in served.logged()


@pytest.fixture
def settings(module_environment: dict[str, str]) -> Settings:
    return load_settings(module_environment, env_file=None)


@pytest.fixture
async def dataset_id(client: httpx.AsyncClient, database: Database) -> AsyncIterator[str]:
    """A ready dataset of two columns and two rows; nothing of the test is there after it."""
    csv = b"city,temperature\nOslo,4.5\nLima,19\n"
    made = (await client.post("/datasets", files={"file": ("towns.csv", csv)})).raise_for_status().json()
    await make_ready(database, made["links"]["ingest_job"])
    yield made["id"]
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, uploads, idempotency_keys CASCADE")
