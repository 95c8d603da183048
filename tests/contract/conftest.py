"""One running system for all of strangers' tools: each makes datasets and jobs of its own, with an admin's key."""

from collections.abc import AsyncIterator

import pytest

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.embedded import Endpoints
from gristmill.settings import load_settings
from tests.databases import made
from tests.e2e.system import System, running_system


@pytest.fixture(scope="package")
async def system(
    endpoints: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with made(endpoints, "contract", template=template_database) as name:
        # A fuzzer asks as often as it can.
        environment = {**endpoints.environment(), "POSTGRES_DB": name, "RATE_LIMIT_PER_S": "0"}
        token, key = make_key("ann", [Scope.ADMIN])
        async with Database.open(load_settings(environment, env_file=None)) as database:
            await add_key(database, key)
        async with running_system(environment, tmp_path_factory.mktemp("contract")) as running:
            running.http.headers["Authorization"] = f"Bearer {token}"
            yield running


@pytest.fixture(scope="package")
def token(system: System) -> str:
    """What its users send as a key."""
    return system.http.headers["Authorization"].removeprefix("Bearer ")
