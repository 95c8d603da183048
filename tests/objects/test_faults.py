"""Whatever S3 or its readers raise becomes one of our errors, and never quotes a key."""

import asyncio

import aiohttp
import polars as pl
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from gristmill.errors import GristmillError, InternalError, NotFound, StoreUnavailable, TooLarge
from gristmill.objects import classify

KEY = "results/0190/1/part-00000.parquet"
URL = f"http://127.0.0.1:1/job-results/{KEY}"


def client_error(code: str, operation: str = "GetObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": KEY}}, operation)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("NoSuchKey"), NotFound),
        (client_error("404", "HeadObject"), NotFound),
        (client_error("404", "HeadBucket"), StoreUnavailable),
        (client_error("NoSuchBucket"), StoreUnavailable),
        (client_error("AccessDenied"), StoreUnavailable),
        (client_error("SlowDown"), StoreUnavailable),
        (client_error("InternalError"), StoreUnavailable),
        (EndpointConnectionError(endpoint_url=URL), StoreUnavailable),
        (ConnectionClosedError(endpoint_url=URL), StoreUnavailable),
        (ReadTimeoutError(endpoint_url=URL), StoreUnavailable),
        (aiohttp.ClientPayloadError(URL), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncio.IncompleteReadError(b"", 1), InternalError),
        (ConnectionResetError(), StoreUnavailable),
        (FileNotFoundError(f"object-store error: Object at location {KEY} not found"), NotFound),
        (PermissionError(f"object-store error: {KEY}"), StoreUnavailable),
        (pl.exceptions.ComputeError(f"object-store error: {KEY}"), StoreUnavailable),
        (pl.exceptions.ComputeError(f"conversion of {KEY} failed"), InternalError),
        (MemoryError(KEY), InternalError),
        (TooLarge("too large"), TooLarge),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_errors_are_told_in_ours(error: BaseException, expected: type[GristmillError]) -> None:
    told = classify(error)
    assert type(told) is expected
    assert KEY not in str(told)
