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

# Encoded, as they go over the wire.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


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
    """A `before_send` hook. A header that a route has set stays as it is.

    It works on the encoded pairs: to look each name up by the framework's mapping took a tenth of the time of a small
    request.
    """
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    there = {name.lower() for name, _ in headers}
    headers.append((b"x-request-id", request_id(scope).encode()))
    rates = scope.get("state", {}).get(RATE_HEADERS, {})
    headers += [(name.lower().encode(), value.encode()) for name, value in rates.items()]
    headers += [pair for pair in SECURITY if pair[0] not in there]
    message["headers"] = headers
    if b"allow" in there or scope.get("method") == "OPTIONS":
        _allow_head(MutableScopeHeaders.from_message(message), scope)


def _allow_head(headers: MutableScopeHeaders, scope: "Scope") -> None:
    """HEAD is answered wherever GET is, which the router does not know; and it tells OPTIONS of one method alone."""
    known = scope["litestar_app"].state.get("methods", {}).get(scope.get("path_template"))
    allowed = known if scope.get("method") == "OPTIONS" and known else headers.get("Allow")
    if allowed is not None:
        methods = {method.strip() for method in allowed.split(",")}
        headers["Allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
