"""JSON bodies: decoded strictly, with a JSON Pointer to what does not fit."""

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException

from gristmill.api.auth import Caller
from gristmill.domain.pointer import escape, fault
from gristmill.errors import Fault, InvalidRequest, MalformedRequest, UnsupportedMediaType

T = TypeVar("T")

# An even number of backslashes before it stands for itself: this one is an escape.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class JsonRequest(Request[Caller, None, State]):
    """A request whose JSON body is decoded by the type that its handler declares.

    Raises UnsupportedMediaType, MalformedRequest and InvalidRequest, where the framework's own decoding would take
    "5" for 5 and lose the place of an error.
    """

    async def json(self) -> Any:
        media_type = self.content_type[0]
        # A browser sends other types across origins without asking; this one it asks for first.
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMediaType("The body must be JSON: set Content-Type to application/json.")
        field = self.route_handler.parsed_data_field
        return decode_json(await self.body(), field.annotation if field else Any)

    async def body(self) -> bytes:
        try:
            return await super().body()
        except InternalServerException:  # the framework's only one here: the client went away, and reads no answer
            raise MalformedRequest("The body ended before it was whole.") from None


def decode_json(body: bytes, kind: type[T], *, pointer: str = "") -> T:
    """The body as a value of `kind`. Faults point below `pointer`.

    Raises:
        MalformedRequest: it is not JSON.
        InvalidRequest: it is JSON that does not fit, or that the database can't hold (U+0000).
    """
    try:
        value = msgspec.json.decode(body, type=kind)
        if _NUL.search(body):
            raise InvalidRequest("A text has a NUL character.", errors=(_first_nul(body, pointer),))
    except msgspec.ValidationError as error:
        raise InvalidRequest("The body does not fit.", errors=(fault(str(error), pointer),)) from None
    except msgspec.DecodeError:
        raise MalformedRequest("The body is not valid JSON.") from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    return value


def _first_nul(body: bytes, pointer: str) -> Fault:
    place = _place_of_nul(msgspec.json.decode(body), pointer)
    return Fault(pointer if place is None else place, "U+0000 can't be stored.")


def _place_of_nul(value: object, pointer: str) -> str | None:
    match value:
        case str():
            return pointer if "\0" in value else None
        case list():
            steps = [(str(index), inner) for index, inner in enumerate(value)]
        case dict():
            if any("\0" in name for name in value):
                return pointer
            steps = list(value.items())
        case _:
            return None
    places = (_place_of_nul(inner, f"{pointer}/{escape(name)}") for name, inner in steps)
    return next((place for place in places if place is not None), None)
