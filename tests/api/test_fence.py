"""Promise: where a statement of the API forgets whose rows it means, row-level security does not."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar.testing import AsyncTestClient

from gristmill.api.app import create_app
from gristmill.db import jobs
from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.settings import Settings
from tests.db.owned import ROWS


def careless(statement: str) -> str:
    """The statement without its condition on the owner; its argument is taken all the same."""
    assert "owner = $2" in statement
    return statement.replace("owner = $2", "$2::text IS NOT NULL")


@pytest.fixture
async def job_of_ben(database: Database) -> str:
    async with database.driver() as driver:
        await driver.execute("TRUNCATE jobs")
        await driver.execute(ROWS["jobs"], "ben")
        return str(await driver.fetchval("SELECT id FROM jobs"))


@pytest.fixture
async def ann(settings: Settings, database: Database, proxied: bool) -> AsyncIterator[httpx.AsyncClient]:
    """The API as it is served, but in this process, where its statements can be spoilt; and a key of ann's."""
    token, key = make_key("ann", (Scope.READ, Scope.WRITE))
    await add_key(database, key)
    chosen = settings.model_copy(update={"listen_notify": not proxied})
    async with AsyncTestClient(create_app(chosen), base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_careless_statement_finds_nothing_of_others(
    ann: httpx.AsyncClient, database: Database, job_of_ben: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GET", "CANCEL", "EVENTS"):
        monkeypatch.setattr(jobs, name, careless(getattr(jobs, name)))
    requests = [("GET", ""), ("GET", "/events"), ("POST", "/cancel")]
    for method, below in requests:
        answer = await ann.request(method, f"/jobs/{job_of_ben}{below}")
        assert answer.status_code == 404, (method, below)
    async with database.driver() as driver:
        assert await driver.fetchval("SELECT status FROM jobs") == "pending"
        await driver.execute("ALTER TABLE jobs DISABLE ROW LEVEL SECURITY")
    try:
        assert (await ann.get(f"/jobs/{job_of_ben}")).status_code == 200, "it is the fence that held"
    finally:
        async with database.driver() as driver:
            await driver.execute("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
