"""How requests leave and answers come: one set of coroutines for both clients, over a transport that blocks or waits.

A coroutine over `Blocking` never gives control away, so `completed` runs it to its end in one step, with no event loop.
"""

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")

CHUNK_BYTES = 256 * 1024
# A proxy named in the environment is for the world outside; this machine is not reached through it.
NO_PROXY = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `to_store`: to the object store, which must not see the key. `body` makes a fresh one each time.

    `again`: what it does is the same when it is sent twice.
    """

    method: str
    url: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    body: Callable[[], Iterable[bytes]] | None = None
    to_store: bool = False
    again: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True)
class Streamed:
    """An answer whose body comes piece by piece. `response` has status and headers; `whole` reads an error's body."""

    response: httpx.Response
    chunks: Callable[[], AsyncIterator[bytes]]
    lines: Callable[[], AsyncIterator[str]]
    whole: Callable[[], Coroutine[Any, Any, bytes]]


class Transport(Protocol):
    """Raises what httpx raises."""

    async def send(self, request: Request) -> httpx.Response:
        """The answer with its whole body."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[Streamed]: ...

    async def sleep(self, seconds: float) -> None: ...

    async def do(self, work: Callable[[], T]) -> T:
        """Do what may block: read a file, compute a digest."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the server is and how it is spoken to."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float


class Blocking:
    """Blocks the thread that calls."""

    def __init__(self, place: Place) -> None:
        self._api = httpx.Client(
            base_url=place.url,
            headers=place.headers,
            timeout=place.timeout_s,
            mounts=dict(NO_PROXY),
            verify=_trusted(),
        )
        self._store = httpx.Client(
            timeout=place.timeout_s, follow_redirects=True, mounts=dict(NO_PROXY), verify=_trusted()
        )

    async def send(self, request: Request) -> httpx.Response:
        client = self._store if request.to_store else self._api
        return client.request(request.method, request.url, **_given(request, _plain(request)))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed]:
        client = self._store if request.to_store else self._api
        with client.stream(request.method, request.url, **_given(request, _plain(request))) as response:

            async def whole() -> bytes:
                return response.read()

            yield Streamed(
                response, lambda: _over(response.iter_bytes(CHUNK_BYTES)), lambda: _over(response.iter_lines()), whole
            )

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 (there is no loop that this would hold up)

    async def do(self, work: Callable[[], T]) -> T:
        return work()

    async def close(self) -> None:
        self._api.close()
        self._store.close()


class Waiting:
    """Lets other tasks of the event loop run. What would block it is done in a thread."""

    def __init__(self, place: Place) -> None:
        self._api = httpx.AsyncClient(
            base_url=place.url,
            headers=place.headers,
            timeout=place.timeout_s,
            mounts=dict(NO_PROXY),
            verify=_trusted(),
        )
        self._store = httpx.AsyncClient(
            timeout=place.timeout_s, follow_redirects=True, mounts=dict(NO_PROXY), verify=_trusted()
        )

    async def send(self, request: Request) -> httpx.Response:
        client = self._store if request.to_store else self._api
        return await client.request(request.method, request.url, **_given(request, self._body(request)))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed]:
        client = self._store if request.to_store else self._api
        async with client.stream(request.method, request.url, **_given(request, self._body(request))) as response:
            yield Streamed(response, lambda: response.aiter_bytes(CHUNK_BYTES), response.aiter_lines, response.aread)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def close(self) -> None:
        await self._api.aclose()
        await self._store.aclose()

    def _body(self, request: Request) -> bytes | AsyncIterator[bytes] | None:
        return request.content if request.body is None else self._read(iter(request.body()))

    async def _read(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        while piece := await self.do(lambda: next(pieces, b"")):
            yield piece


def completed(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over `Blocking`."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("a blocking transport gave control away")


def each(items: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous generator over `Blocking` makes, one by one."""
    try:
        while True:
            try:
                item = completed(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            completed(_closed(items))


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncGenerator[Any]) -> None:
    await items.aclose()


async def _over(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whom TLS trusts. Reading the certificates takes 50 ms, more than most requests."""
    return httpx.create_ssl_context()


def _plain(request: Request) -> bytes | Iterable[bytes] | None:
    return request.content if request.body is None else request.body()


def _given(request: Request, content: object) -> dict[str, Any]:
    given: dict[str, Any] = {"params": request.query or None, "headers": request.headers, "content": content}
    # None would mean no limit at all.
    return given if request.timeout_s is None else {**given, "timeout": request.timeout_s}
