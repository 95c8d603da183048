"""One running system for all of strangers' tools: each makes datasets and jobs of its own."""

from collections.abc import AsyncIterator

import pytest

from gristmill.embedded import Endpoints
from tests.databases import made
from tests.e2e.system import System, running_system


@pytest.fixture(scope="package")
async def system(
    endpoints: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with made(endpoints, "contract", template=template_database) as name:
        environment = {**endpoints.environment(), "POSTGRES_DB": name}
        async with running_system(environment, tmp_path_factory.mktemp("contract")) as running:
            yield running
