"""One running system for the tests of a module that do it no harm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.system import System, running_system


@pytest.fixture
async def system(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    async with running_system(environment, tmp_path) as running:
        yield running
