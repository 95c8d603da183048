"""What handlers are called with. What they may ask for by name, apart from what a request says, is in `PROVIDED`.

The framework has a machinery for dependencies that wait, that end, and that depend on others; ours do nothing of it. It
took a quarter of the time of a small request, so what is here is given without it (`give_directly`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast
from uuid import UUID

from litestar._signature import SignatureModel
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, PathParameter
from litestar.routes import HTTPRoute
from litestar.routes.base import BaseRoute
from litestar.types import Empty
from litestar.typing import FieldDefinition
from litestar.utils.signature import ParsedSignature

from gristmill.api.auth import Caller
from gristmill.api.bodies import JsonRequest
from gristmill.db.engine import Database

Give = Callable[[JsonRequest], Any]
# Of the application's state.
HELD = (
    "settings",
    "watcher",
    "live",
    "store",
    "reader",
    "processors",
    "schema_head",
    "quotas",
    "queue_figures",
    "ready",
)
REQUEST = "request"


def provide_database(request: JsonRequest) -> Database:
    """With the caller's rows to be seen; where nobody had to say who he is, nobody's."""
    database: Database = request.app.state.database
    caller: Caller | None = request.scope.get("user")
    return database if caller is None else database.of(caller.owner)


def provide_caller(request: JsonRequest) -> Caller:
    caller: Caller = request.user
    return caller


def provide_owner(request: JsonRequest) -> str:
    caller: Caller = request.user
    return caller.owner


def _held(name: str) -> Give:
    def provide(request: JsonRequest) -> Any:
        return request.app.state[name]

    return provide


PROVIDED: Mapping[str, Give] = {
    **{name: _held(name) for name in HELD},
    "caller": provide_caller,
    "database": provide_database,
    "owner": provide_owner,
}


def dependencies() -> dict[str, Provide]:
    """As the framework knows them, so that it takes none of them for a parameter of the query."""
    return {name: Provide(give, sync_to_thread=False) for name, give in PROVIDED.items()}


def give_directly(routes: Iterable[BaseRoute]) -> None:
    """Have handlers called with what they ask for by name, without the framework's machinery."""
    for route in routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, model) in list(route.route_handler_map.items()):
                if model.dependency_batches:
                    arguments = Arguments(handler, model.extractors)
                    route.route_handler_map[method] = (handler, cast("Any", arguments))
                    handler._signature_model = cast("Any", arguments)  # noqa: SLF001 (there is no other way to set it)


class Arguments:
    """What one handler is called with: the framework's model of where arguments are, and that of what they are, in one.

    What a request says of the rest is read and checked by the framework's own means.
    """

    has_kwargs = True
    dependency_batches = ()

    def __init__(self, handler: HTTPRouteHandler, extractors: Iterable[Any]) -> None:
        parameters = handler.parsed_fn_signature.parameters
        rest = {name: field for name, field in parameters.items() if name not in PROVIDED and name != REQUEST}
        self._given = tuple((name, PROVIDED[name]) for name in parameters if name in PROVIDED)
        self._wants_request = REQUEST in parameters
        self._extractors = tuple(extractors)
        self._rest = _model_of(handler, rest)
        self._plain = Plain.of(rest)

    async def to_kwargs(self, connection: JsonRequest) -> dict[str, Any]:
        """Raises ValidationException, and what reading the body raises."""
        values = None if self._plain is None else self._plain.read(connection)
        if values is None:
            values = await self._read(connection)
        if self._wants_request:
            values[REQUEST] = connection
        for name, give in self._given:
            values[name] = give(connection)
        return values

    async def _read(self, connection: JsonRequest) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for extract in self._extractors:
            await extract(found, connection)
        if found.get("data") is Empty:
            del found["data"]
        checked: dict[str, Any] = self._rest.parse_values_from_connection_kwargs(connection=connection, kwargs=found)
        return checked

    @staticmethod
    def parse_values_from_connection_kwargs(*, connection: JsonRequest, kwargs: dict[str, Any]) -> dict[str, Any]:
        """They are parsed already."""
        del connection
        return kwargs


class Plain:
    """Arguments that need no check: ids in the path, which the router has parsed, and headers that are not sent."""

    def __init__(self, ids: Iterable[str], headers: Mapping[bytes, tuple[str, Any]]) -> None:
        self._ids = tuple(ids)
        self._names = frozenset(headers)
        self._absent = dict(headers.values())

    @classmethod
    def of(cls, fields: Mapping[str, FieldDefinition]) -> "Plain | None":
        """None: there are others among them."""
        ids = [name for name, field in fields.items() if _is_id(field)]
        headers = dict(_optional_headers(fields))
        return cls(ids, headers) if len(ids) + len(headers) == len(fields) else None

    def read(self, connection: JsonRequest) -> dict[str, Any] | None:
        """None: one of the headers is there."""
        scope = connection.scope
        for name, _ in scope["headers"]:
            if name in self._names:
                return None
        ids = scope["path_params"]
        return {**{name: ids[name] for name in self._ids}, **self._absent}


def _is_id(field: FieldDefinition) -> bool:
    return field.annotation is UUID and isinstance(field.kwarg_definition, PathParameter)


def _optional_headers(fields: Mapping[str, FieldDefinition]) -> Iterator[tuple[bytes, tuple[str, Any]]]:
    for name, field in fields.items():
        told = field.kwarg_definition
        if isinstance(told, HeaderParameter) and field.default is None:
            yield (told.name or name).lower().encode("latin-1"), (name, None)


def _model_of(handler: HTTPRouteHandler, fields: dict[str, FieldDefinition]) -> Any:
    """The framework's model of these parameters of a handler alone."""
    whole = handler.parsed_fn_signature
    signature = ParsedSignature(fields, whole.return_type, whole.original_signature)
    return SignatureModel.create(
        dependency_name_set=set(),
        fn=cast("Any", handler.fn),
        parsed_signature=signature,
        data_dto=handler.resolve_data_dto(),
        type_decoders=handler.resolve_type_decoders(),
    )
