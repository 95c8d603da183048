"""Small objects for the thread that computes: whole, by one blocking call each.

A client in Rust: a call of it costs 0.2 ms of CPU, one of aiobotocore 1.6 ms and two changes of thread, which was
half of what a job on a thousand rows cost (`benches/queue`, part `datasets`).
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from gristmill import metrics
from gristmill.errors import GristmillError, NotFound, StoreUnavailable
from gristmill.objects.connection import without_proxy
from gristmill.objects.faults import GONE, REFUSED, UNREACHABLE
from gristmill.objects.upload import Stored
from gristmill.steps import step

if TYPE_CHECKING:
    from obstore.store import ClientConfig

    from gristmill.settings import Settings

CONNECT_TIMEOUT_S = 3.0
RETRIES = 3


class SmallObjects:
    """The buckets of one endpoint. Each call ends within the deadline of the settings."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._of = cache(self._open)

    def put(self, bucket: str, key: str, content: bytes, media_type: str) -> Stored:
        """Store an object whole. One that a failed call left is found by the sweep of its attempt's prefix.

        Raises:
            StoreUnavailable: no answer in time, no connection, or a refusal.
        """
        with _timed("PutObject"):
            answer = obstore.put(
                self._of(bucket), key, content, attributes={"Content-Type": media_type}, use_multipart=False
            )
        return Stored(key, len(content), hashlib.sha256(content).hexdigest(), answer["e_tag"] or "")

    def get(self, bucket: str, key: str, *, sha256: str) -> bytes:
        """An object's content, whose SHA-256 (hex) must be the given one.

        Raises:
            NotFound: there is no such object.
            StoreUnavailable: as `put`, or its bytes are not those stored.
        """
        with step("read"), _timed("GetObject"):
            content = obstore.get(self._of(bucket), key).bytes().to_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StoreUnavailable("The object store gave other bytes than were stored.")
        return content

    def _open(self, bucket: str) -> S3Store:
        settings = self._settings
        deadline = timedelta(seconds=settings.s3_deadline_s)
        options: dict[str, object] = {
            "allow_http": settings.s3_endpoint_url.scheme == "http",
            "timeout": deadline,
            "connect_timeout": min(timedelta(seconds=CONNECT_TIMEOUT_S), deadline),
        }
        return S3Store(
            bucket,
            endpoint=str(settings.s3_endpoint_url).rstrip("/"),
            region=settings.s3_region,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key.get_secret_value(),
            virtual_hosted_style_request=False,
            client_options=cast("ClientConfig", options | without_proxy(str(settings.s3_endpoint_url))),
            retry_config={"max_retries": RETRIES, "retry_timeout": deadline},
        )


@contextmanager
def _timed(operation: str) -> Iterator[None]:
    """Counts the call; its errors leave as ours."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "ok"
    except (BaseError, OSError) as error:
        raise _in_ours(error) from error
    finally:
        metrics.S3_SECONDS.observe(time.perf_counter() - began, operation, outcome)


def _in_ours(error: BaseError | OSError) -> GristmillError:
    if isinstance(error, FileNotFoundError):
        return NotFound(GONE)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StoreUnavailable(REFUSED)
    return StoreUnavailable(UNREACHABLE)
