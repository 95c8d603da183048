"""The kinds of jobs. A module here that defines one concrete `Processor` is a kind; there is no list to keep."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gristmill.errors import UnknownKind
from gristmill.processors.contract import Processor

AnyProcessor = Processor[Any, Any, Any, Any]


def discover(*, name: str = __name__, path: Iterable[str] = __path__) -> Mapping[str, AnyProcessor]:
    """Every kind and its processor, by name in alphabetical order.

    Walks the modules of this package, or of another one of the same form. Raises TypeError for a module that defines
    two processors and for a kind that is defined twice.
    """
    found: dict[str, AnyProcessor] = {}
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        for kind in _defined(f"{name}.{module.name}"):
            if kind.kind in found:
                raise TypeError(f"the kind {kind.kind} is defined twice")
            found[kind.kind] = kind()
    return MappingProxyType(dict(sorted(found.items())))


def find(kind: str, processors: Mapping[str, AnyProcessor]) -> AnyProcessor:
    """The processor of a kind. Raises UnknownKind."""
    processor = processors.get(kind)
    if processor is None:
        raise UnknownKind(f"There is no such kind; there are {', '.join(processors)}.")
    return processor


def describe(processor: AnyProcessor) -> dict[str, object]:
    """What a user needs to know of a kind: docstring, JSON Schema (2020-12) of its params, params that work."""
    (schema,), components = msgspec.json.schema_components((processor.Params,), ref_template="#/$defs/{name}")
    body = components.pop(processor.Params.__name__, schema)
    return {
        "kind": processor.kind,
        "version": processor.version,
        "description": inspect.getdoc(processor) or "",
        "params_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **body,
            **({"$defs": components} if components else {}),
        },
        "example": dict(processor.example),
    }


def _defined(name: str) -> list[type[AnyProcessor]]:
    """The concrete processors that a module defines itself: none or one."""
    module = importlib.import_module(name)
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Processor)
        and not inspect.isabstract(value)
        and value.__module__ == name
    ]
    if len(own) > 1:
        raise TypeError(f"{name} defines {len(own)} processors; one module is one kind")
    return own
