"""S3 alone: these tests need no database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from pydantic import AnyHttpUrl

from gristmill.embedded import Endpoints
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings
from tests.proxy import FaultProxy


@pytest.fixture
def settings(endpoints: Endpoints) -> Settings:
    return load_settings(endpoints.environment(), env_file=None)


@pytest.fixture
def bucket(settings: Settings) -> str:
    return settings.s3_job_results_bucket


@pytest.fixture
async def prefix(store: ObjectStore, bucket: str) -> AsyncIterator[str]:
    """A prefix of the test's own, emptied afterwards."""
    mine = f"results/{uuid4()}/1/"
    yield mine
    await store.delete_prefix(bucket, mine)
    await store.abort_uploads(bucket, mine)


@pytest.fixture
def proxy(s3_proxy: FaultProxy) -> FaultProxy:
    return s3_proxy


@pytest.fixture
def through_proxy(settings: Settings, proxy: FaultProxy) -> Settings:
    return settings.model_copy(update={"s3_endpoint_url": AnyHttpUrl(proxy.url), "s3_deadline_s": 1.5})


@pytest.fixture
async def shaky(through_proxy: Settings) -> AsyncIterator[ObjectStore]:
    """A store that reaches S3 through the proxy, with a short deadline."""
    async with ObjectStore.open(through_proxy) as opened:
        yield opened


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, as in an executor process."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="other-loop")
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
