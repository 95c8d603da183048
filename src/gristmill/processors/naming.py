"""Params that name other data: a document of another job's result, or another dataset.

A kind says so where it declares the param, and needs nothing else: the API looks up what is named when the job is
submitted, the worker fetches it, and the driver hands it over.

    fitted_from: Annotated[UUID | None, names(ResultDocument("fitted.json", into="fitted"), "...")] = None
"""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Meta, inspect

from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.contract import Fit

_EXTRA = "names"


class ResultDocument(msgspec.Struct, frozen=True):
    """The param is the id of a completed job; the document `name` of its result takes the place of the param `into`."""

    name: str
    into: str


class OtherDataset(msgspec.Struct, frozen=True):
    """The param is the id of a ready dataset; what `survey` finds in it goes to `Processor.informed`."""

    survey: Fit[Any, Any, Any, Any]


Named = ResultDocument | OtherDataset


def names(named: Named, description: str) -> Meta:
    """What a param of type `UUID | None` is annotated with."""
    return Meta(description=description, extra={_EXTRA: named})


@functools.cache
def declared(params: type[msgspec.Struct]) -> Mapping[str, Named]:
    """The params that name other data, and what."""
    found = inspect.type_info(params)
    assert isinstance(found, inspect.StructType)  # noqa: S101 (params are structs)
    extras = {field.name: _extra(field.type) for field in found.fields}
    return {name: extra[_EXTRA] for name, extra in extras.items() if _EXTRA in extra}


def given(params: msgspec.Struct) -> dict[str, tuple[UUID, Named]]:
    """Those of them that are given: the id, and what it is of."""
    wanted = declared(type(params))
    if not wanted:
        return {}
    found = ((name, getattr(params, name), named) for name, named in wanted.items())
    return {name: (value, named) for name, value, named in found if value is not None}


def with_documents(params: msgspec.Struct, documents: Mapping[str, bytes]) -> msgspec.Struct:
    """The params with the documents that they name, by the param that names each, in their places.

    Raises InvalidRequest for a document that does not fit, a place that is taken, and one that nobody looked up.
    """
    naming = {name: named for name, (_, named) in given(params).items() if isinstance(named, ResultDocument)}
    if not naming:
        return params
    plain = msgspec.to_builtins(params)
    for name, named in naming.items():
        if getattr(params, named.into) is not None:
            raise _refused(name, f"Give either this or `{named.into}`.")
        if name not in documents:
            raise not_looked_up(name)
        try:
            plain |= {name: None, named.into: msgspec.json.decode(documents[name])}
        except msgspec.DecodeError:
            raise _refused(name, f"Its {named.name} is not JSON.") from None
        try:
            msgspec.convert(plain[named.into], _type_of(type(params), named.into))
        except msgspec.ValidationError:
            raise _refused(name, f"Its {named.name} is not of the form that is needed.") from None
    return msgspec.convert(plain, type(params))


@contextmanager
def pointing(params: msgspec.Struct) -> Iterator[None]:
    """Faults in documents that params name are told where the user named them."""
    named = {name: what for name, (_, what) in given(params).items() if isinstance(what, ResultDocument)}
    places = {f"/params/{what.into}": name for name, what in named.items()}
    try:
        yield
    except InvalidRequest as error:
        faults = tuple(_moved(fault, places) for fault in error.errors)
        raise InvalidRequest(error.detail, errors=faults) from error


def not_looked_up(name: str) -> InvalidRequest:
    """A job that did not come through the API, which looks up what is named."""
    return _refused(name, "It can be given through the API alone.")


def _moved(fault: Fault, places: Mapping[str, str]) -> Fault:
    for place, name in places.items():
        if fault.pointer == place or fault.pointer.startswith(f"{place}/"):
            within = fault.pointer.removeprefix(place)
            return Fault(f"/params/{name}", f"In its document, at {within or '/'}: {fault.detail}")
    return fault


def _refused(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest("What the params name does not fit.", errors=(Fault(f"/params/{name}", detail),))


def _type_of(params: type[msgspec.Struct], name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(params) if field.name == name)


def _extra(kind: inspect.Type) -> Mapping[str, Any]:
    """The `extra` of a field's metadata; of a union, that of whichever member has it."""
    if isinstance(kind, inspect.Metadata):
        return kind.extra or {}
    if isinstance(kind, inspect.UnionType):
        return {key: value for member in kind.types for key, value in _extra(member).items()}
    return {}
