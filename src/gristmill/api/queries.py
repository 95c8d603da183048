"""Query strings, before the framework reads them: it takes `null` for nothing given, and the last of several values."""

from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from gristmill.errors import Fault, InvalidRequest


async def check_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: a filter that is not understood must not become no filter at all.

    Raises:
        InvalidRequest: a parameter of one value is given twice, or one that is no text is `null`.
    """
    raw = connection.scope["query_string"]
    if not raw or not isinstance(handler, HTTPRouteHandler):
        return
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


@cache
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
