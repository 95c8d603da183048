"""Query strings, before the framework reads them: it takes `null` for nothing given, and the last of several values."""

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from gristmill.errors import Fault, InvalidRequest

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send


def with_checked_query(app: "ASGIApp") -> "ASGIApp":
    """A middleware around all routes: a filter that is not understood must not become no filter at all.

    Raises:
        InvalidRequest: a parameter of one value is given twice, or one that is no text is `null`.
    """

    async def checked(scope: "Scope", receive: "Receive", send: "Send") -> None:
        raw, handler = scope["query_string"], scope["route_handler"]
        if raw and isinstance(handler, HTTPRouteHandler):
            _check(raw, handler)
        await app(scope, receive, send)

    return checked


def _check(raw: bytes, handler: HTTPRouteHandler) -> None:
    single, other = _parameters(handler)
    faults, seen = [], set[str]()
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name in single and name in seen:
            faults.append(Fault(f"/query/{name}", "It is given more than once."))
        elif name in other and value.lower() == "null":
            faults.append(Fault(f"/query/{name}", "null is no value of it; leave it out."))
        seen.add(name)
    if faults:
        raise InvalidRequest("A parameter does not fit.", errors=tuple(faults))


@lru_cache(maxsize=1024)
def _parameters(handler: HTTPRouteHandler) -> tuple[frozenset[str], frozenset[str]]:
    """The names of an operation's parameters of one value, and of those of them that are no text."""
    told = [
        (field.kwarg_definition.name or name, field)
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter) and not field.is_non_string_sequence
    ]
    return frozenset(name for name, _ in told), frozenset(name for name, field in told if not _is_text(field))


def _is_text(field: FieldDefinition) -> bool:
    return any(annotation is str for annotation in (field.annotation, *(i.annotation for i in field.inner_types)))
