"""Requests and their answers: sent again where that helps, refusals as exceptions, bodies as typed documents."""

import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec

from gristmill.client.documents import Problem
from gristmill.client.errors import ClientError, ProblemError, UnexpectedAnswer, Unreachable, problem_error
from gristmill.client.retrying import Retry
from gristmill.client.transport import Request, Streamed, Transport

T = TypeVar("T")

SAFE = frozenset({"GET", "HEAD"})
KEY = "Idempotency-Key"


class Exchange:
    """What all operations are made of. Every method raises ProblemError, Unreachable and UnexpectedAnswer."""

    def __init__(self, transport: Transport, retry: Retry, *, url: str) -> None:
        self.transport = transport
        self._retry = retry
        self._url = url
        self._rng = random.Random()

    async def get(self, kind: type[T], path: str, query: Mapping[str, Any] | None = None) -> T:
        return await self.ask(kind, Request(method="GET", url=path, query=_present(query)))

    async def post(
        self,
        kind: type[T],
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """With a `key`, it is sent again like a GET."""
        all_headers = {**(headers or {}), **({KEY: key} if key else {})}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            all_headers["Content-Type"] = "application/json"
        request = Request(
            method="POST",
            url=path,
            query=_present(query),
            headers=all_headers,
            content=content,
            again=key is not None,
            timeout_s=timeout_s,
        )
        return await self.ask(kind, request)

    async def ask(self, kind: type[T], request: Request) -> T:
        return decoded(await self.send(request), kind)

    async def send(self, request: Request) -> httpx.Response:
        attempt = 1
        while True:
            try:
                return await self._send_once(request)
            except ClientError as error:
                await self.pause(attempt, error, again=request.again or request.method in SAFE)
                attempt += 1

    async def pause(self, attempt: int, error: ClientError, *, again: bool = True) -> None:
        """Wait as long as is due before the next attempt. Raises the error where there is to be none."""
        pause_s = self._retry.pause_s(attempt, error, self._rng) if again else None
        if pause_s is None:
            raise error
        await self.transport.sleep(pause_s)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed]:
        """The answer piece by piece; sent once. What breaks off in the block is Unreachable too."""
        try:
            async with self.transport.stream(request) as streamed:
                if not streamed.response.is_success:
                    await streamed.whole()
                    check(streamed.response)
                yield streamed
        except httpx.RequestError as error:
            raise self._unreachable(request, error) from error

    async def _send_once(self, request: Request) -> httpx.Response:
        try:
            answer = await self.transport.send(request)
        except httpx.RequestError as error:
            raise self._unreachable(request, error) from error
        check(answer)
        return answer

    def _unreachable(self, request: Request, error: Exception) -> Unreachable:
        # The URL of an object lets everybody in who has it.
        who = "The object store" if request.to_store else self._url
        return Unreachable(f"{who} does not answer: {(str(error) or type(error).__name__).rstrip('.')}.")


def new_key() -> str:
    return str(uuid4())


def decoded(answer: httpx.Response, kind: type[T]) -> T:
    """Raises UnexpectedAnswer."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(f"The answer of {answer.request.url.path} is not what was expected: {error}") from error


def check(answer: httpx.Response) -> None:
    """Raises ProblemError unless the answer is a success, or says that nothing has changed."""
    if answer.is_success or answer.status_code == httpx.codes.NOT_MODIFIED:
        return
    problem = Problem(status=answer.status_code, title=answer.reason_phrase)
    if "json" in answer.headers.get("Content-Type", ""):
        problem = msgspec.structs.replace(decoded(answer, Problem), status=answer.status_code)
    raise problem_error(problem, retry_after_s=retry_after(answer))


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds until the server wants to be asked again, if it says so."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdecimal() else None


class Deadline:
    """A time after which nothing is waited for; None: never."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._at = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self, most_s: float) -> float:
        """Seconds left, at most so many."""
        return most_s if self._at is None else max(0.0, min(most_s, self._at - time.monotonic()))


def _present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


__all__ = ["Deadline", "Exchange", "ProblemError", "check", "decoded", "new_key", "retry_after"]
