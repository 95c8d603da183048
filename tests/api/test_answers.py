"""Answers are what the framework's own would be, byte for byte."""

from typing import Any
from uuid import UUID

import litestar
import msgspec
import pytest
from litestar import MediaType, get
from litestar.testing import RequestFactory
from litestar.types import HTTPScope, Message

from gristmill.api.answers import Response


class Told(msgspec.Struct):
    id: UUID
    names: tuple[str, ...]


TOLD = Told(UUID(int=7), ("Oslo", "Þórshöfn"))
CASES: list[dict[str, Any]] = [
    {"content": TOLD},
    {"content": TOLD, "status_code": 202, "headers": {"ETag": 'W/"1"', "Retry-After": "1"}},
    {"content": TOLD, "media_type": "application/problem+json", "status_code": 404},
    {"content": [TOLD, TOLD]},
    {"content": b'{"as": "stored"}', "media_type": MediaType.JSON, "headers": {"Location": "/jobs/1"}},
    {"content": "<html>Þ</html>", "media_type": MediaType.HTML, "headers": {"Cache-Control": "no-cache"}},
    {"content": b"a,b\n", "media_type": "text/csv"},
    {"content": b"\0", "media_type": "font/woff2"},
    {"content": b"{}", "headers": {"Content-Type": "application/schema+json", "Content-Length": "2"}},
    {"content": None, "status_code": 303, "headers": {"Location": "http://store/key"}},
    {"content": None, "status_code": 304, "headers": {"ETag": '"1"'}},
    {"content": None, "status_code": 204},
    {"content": None, "media_type": MediaType.TEXT},
]


@pytest.mark.parametrize("case", CASES)
async def test_an_answer_is_what_the_frameworks_would_be(case: dict[str, Any]) -> None:
    operations: tuple[dict[str, Any], ...] = (
        {"status_code": 200, "media_type": None},
        {"status_code": 201, "media_type": "application/json", "headers": {"ETag": "the operation's", "X-Own": "1"}},
    )
    for defaults in operations:
        assert await sent(Response(**case), defaults) == await sent(litestar.Response(**case), defaults)


async def sent(response: litestar.Response[Any], defaults: dict[str, Any]) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    request = RequestFactory().get()
    app = response.to_asgi_response(None, request, background=None, cookies=[], type_encoders={}, **defaults)
    await app(request.scope, request.receive, send)
    return messages


async def test_a_plain_value_is_answered_so_too() -> None:
    @get("/told")
    async def told() -> Told:
        return TOLD

    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    for response_class in (Response, litestar.Response):
        app = litestar.Litestar([told], response_class=response_class, openapi_config=None)
        scope: HTTPScope = RequestFactory(app=app).get("/told").scope
        scope["state"] = {}
        await app(scope, receive, send)
    ours, theirs = messages[:2], messages[2:]
    assert ours == theirs
    assert ours[1]["body"] == msgspec.json.encode(TOLD)  # type: ignore[typeddict-item]
