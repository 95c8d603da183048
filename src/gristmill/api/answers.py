"""Answers as handlers give them. The framework's own go through two classes of headers, cookies and encoders of types
that ours never have, which took a tenth of the time of a small request.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import litestar
import msgspec
from litestar.enums import MediaType

if TYPE_CHECKING:
    from litestar import Litestar, Request
    from litestar.response.base import ASGIResponse
    from litestar.types import HTTPScope, Receive, Scope, Send

T = TypeVar("T")

BODILESS = frozenset({204, 304})
_encode = msgspec.json.Encoder().encode


class Response(litestar.Response[T]):
    """An answer with a body, of which `content` is the value; bytes go out as they are. Without cookies, and nothing is
    done after it.

    `status_code` and `media_type` None: those of the operation.
    """

    __slots__ = ()

    def __init__(
        self,
        content: T,
        *,
        status_code: int | None = None,
        headers: Mapping[str, str] | None = None,
        media_type: MediaType | str | None = None,
        background: None = None,
        type_encoders: None = None,
    ) -> None:
        del background, type_encoders  # the framework names them where a handler answers a plain value
        self.content = content
        self.status_code = status_code
        self.headers = {} if headers is None else dict(headers)
        self.media_type = media_type
        self.background = None
        self.cookies = []
        self.encoding = "utf-8"
        self.response_type_encoders = {}

    def to_asgi_response(
        self,
        app: "Litestar | None",
        request: "Request[Any, Any, Any]",
        *,
        headers: dict[str, str] | None = None,
        media_type: MediaType | str | None = None,
        status_code: int | None = None,
        **others: Any,
    ) -> "ASGIResponse":
        """`headers`, `media_type` and `status_code` are the operation's; of the `others`, ours have none."""
        del app, request, others
        kind: MediaType | str = self.media_type or media_type or MediaType.JSON
        kind = kind.value if isinstance(kind, MediaType) else kind
        own = {**headers, **self.headers} if headers else self.headers
        body = _encode(self.content) if isinstance(self.content, msgspec.Struct) else self.render(self.content, kind)
        return cast("ASGIResponse", Sent(self.status_code or status_code or 200, own, kind, body))


class Sent:
    """An answer on its way: the ASGI application that the framework calls last."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], kind: str, body: bytes) -> None:
        told = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        if status in BODILESS:
            body = b""
        else:
            if kind.startswith("text/"):
                kind = f"{kind}; charset=utf-8"
            there = {name for name, _ in told}
            if b"content-type" not in there:
                told.append((b"content-type", kind.encode("latin-1")))
            if b"content-length" not in there:
                told.append((b"content-length", b"%d" % len(body)))
        self.status, self.headers, self.body = status, told, body

    async def __call__(self, scope: "Scope | HTTPScope", receive: "Receive", send: "Send") -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
