"""An S3 client behind a deadline. A client that hit it is not trusted again: the next call gets a new one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.handlers import add_expect_header

from gristmill.objects import timing
from gristmill.objects.faults import told_in_ours
from gristmill.objects.signing import sign_known_content
from gristmill.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")

MAX_CONNECTIONS = 32
ATTEMPTS = 3
CONNECT_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 2.0


class _Client:
    """One client, and how many calls use it: a retired one is closed by the last of them."""

    def __init__(self, s3: "S3Client", stack: AsyncExitStack) -> None:
        self.s3 = s3
        self.stack = stack
        self.users = 0
        self.retired = False


class Connection:
    """Calls of S3, each within its deadline and with errors told in ours."""

    def __init__(self, settings: Settings, *, endpoint_url: str) -> None:
        self.deadline_s = settings.s3_deadline_s
        self._settings = settings
        self._endpoint_url = endpoint_url
        self._session = aioboto3.Session()
        self._client: _Client | None = None
        self._opening = asyncio.Lock()

    async def call(self, operation: Callable[["S3Client"], Awaitable[T]], *, deadline_s: float | None = None) -> T:
        """Run one operation; `deadline_s` seconds for all its attempts together.

        Raises:
            StoreUnavailable: no answer in time, no connection, or a refusal.
            NotFound: there is no such object.
        """
        async with self.borrow() as s3, asyncio.timeout(deadline_s or self.deadline_s):
            return await operation(s3)

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator["S3Client"]:
        """Hold the client for several steps, each of which the holder puts under a deadline."""
        with told_in_ours():
            client = await self._current()
            client.users += 1
            try:
                yield client.s3
            except TimeoutError:
                timing.note_time_out()
                # Its pool may hold more connections that hang (PUT ignores the read timeout: aiobotocore 2.25).
                self._retire(client)
                raise
            finally:
                client.users -= 1
                await self._close_if_unused(client)

    async def close(self) -> None:
        if self._client is not None:
            client = self._client
            self._retire(client)
            await self._close_if_unused(client)

    async def _current(self) -> _Client:
        async with self._opening:
            if self._client is None:
                self._client = await self._open()
            return self._client

    async def _open(self) -> _Client:
        stack = AsyncExitStack()
        s3 = await stack.enter_async_context(
            self._session.client(
                "s3",
                endpoint_url=self._endpoint_url,
                region_name=self._settings.s3_region,
                aws_access_key_id=self._settings.s3_access_key_id,
                aws_secret_access_key=self._settings.s3_secret_access_key.get_secret_value(),
                config=_config(self.deadline_s, self._endpoint_url),
            )
        )
        # Waiting for "100 Continue" has no time limit in aiohttp, and costs a round trip.
        s3.meta.events.unregister("before-call.s3", add_expect_header)
        timing.watch(s3)
        sign_known_content(s3)
        return _Client(s3, stack)

    def _retire(self, client: _Client) -> None:
        client.retired = True
        if self._client is client:
            self._client = None

    async def _close_if_unused(self, client: _Client) -> None:
        if client.retired and client.users == 0:
            with suppress(TimeoutError):  # nobody uses it: a slow good-bye must not fail a call that succeeded
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await client.stack.aclose()


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Finish `work` even if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise cancelled from failure
    raise cancelled


def _config(deadline_s: float, endpoint_url: str) -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=min(CONNECT_TIMEOUT_S, deadline_s),
        read_timeout=deadline_s,
        max_pool_connections=MAX_CONNECTIONS,
        tcp_keepalive=True,
        # An empty dict, not None: a proxy named in the environment can't reach this machine's loopback.
        proxies={} if _on_loopback(endpoint_url) else None,
    )


def without_proxy(endpoint_url: str) -> dict[str, str]:
    """Options with which clients in Rust leave a proxy of the environment aside for an endpoint on loopback.

    They have none for that, but a proxy of their own, which excludes its only target, comes before the environment's.
    """
    if not _on_loopback(endpoint_url):
        return {}
    return {"proxy_url": endpoint_url, "proxy_excludes": urlsplit(endpoint_url).hostname or ""}


def _on_loopback(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
