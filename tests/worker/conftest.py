"""Workers reach the real S3 through a proxy."""

import pytest

from tests.proxy import FaultProxy


@pytest.fixture
def proxy(s3_proxy: FaultProxy) -> FaultProxy:
    return s3_proxy


@pytest.fixture
def through_proxy(environment: dict[str, str], proxy: FaultProxy) -> dict[str, str]:
    return {**environment, "S3_ENDPOINT_URL": proxy.url}
