"""Workers reach the real S3 through a proxy, so a test decides how long a job takes."""

from collections.abc import AsyncIterator

import pytest

from gristmill.db.engine import Database
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.proxy import FaultProxy
from tests.worker.rig import Bench


@pytest.fixture
def bench(settings: Settings, database: Database, store: ObjectStore) -> Bench:
    return Bench(settings, database, store)


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[FaultProxy]:
    """The way from the workers to S3. With a `delay_s` it passes 64 KiB and waits."""
    url = settings.s3_endpoint_url
    assert url.host is not None
    assert url.port is not None
    async with FaultProxy.to(url.host, url.port) as opened:
        yield opened


@pytest.fixture
def through_proxy(environment: dict[str, str], proxy: FaultProxy) -> dict[str, str]:
    return {**environment, "S3_ENDPOINT_URL": proxy.url}
