"""Headers that every answer has, errors and pages included."""

import re
from typing import TYPE_CHECKING
from uuid import uuid4

from litestar.datastructures import MutableScopeHeaders

if TYPE_CHECKING:
    from litestar.types import Message, Scope

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

# In the state of a request that was a HEAD before it became a GET.
IS_HEAD = "is_head"

# In the state of a request with a key: the headers that tell of its limit.
RATE_HEADERS = "rate_headers"

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def request_id(scope: "Scope") -> str:
    """The caller's `X-Request-Id` where it is one that fits in a log line, else a new one."""
    state = scope.setdefault("state", {})
    known = state.get("request_id")
    if isinstance(known, str):
        return known
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    fresh = given.decode("ascii") if REQUEST_ID.fullmatch(given) else str(uuid4())
    state["request_id"] = fresh
    return fresh


async def add_headers(message: "Message", scope: "Scope") -> None:
    """A `before_send` hook. A header that a route has set stays as it is."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    headers["X-Request-Id"] = request_id(scope)
    for name, value in scope.get("state", {}).get(RATE_HEADERS, {}).items():
        headers[name] = value
    for name, value in SECURITY.items():
        if name not in headers:
            headers[name] = value
    # HEAD is answered wherever GET is, which the router does not know; and it tells OPTIONS of one method alone.
    known = scope["litestar_app"].state.get("methods", {}).get(scope.get("path_template"))
    allowed = known if scope.get("method") == "OPTIONS" and known else headers.get("Allow")
    if allowed is not None:
        methods = {method.strip() for method in allowed.split(",")}
        headers["Allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
