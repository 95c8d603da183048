"""The kinds of jobs in the OpenAPI document: a job to submit is a union that its `kind` tells apart."""

from collections.abc import Mapping
from typing import Any

from gristmill.api import examples
from gristmill.api.document import SCHEMAS, polished
from gristmill.api.submit import Processors
from gristmill.processors import AnyProcessor, describe

UNION = "JobRequest"
DEFS = "#/$defs/"


def with_kinds(document: dict[str, Any], processors: Processors) -> dict[str, Any]:
    """The document with a schema for the jobs of each kind, and for their params, in place of `JobRequest`.

    Made of the processors that were found, so a kind that is dropped in is told of too. Names are made of the kind's
    alone, and stay what they are when other kinds come and go.

    Raises:
        TypeError: two schemas would have one name.
    """
    known: dict[str, Any] = document["components"]["schemas"]
    plain = known[UNION]
    names = {kind: f"{_camel(kind)}Job" for kind in processors}
    added: dict[str, Any] = {}
    for kind, processor in processors.items():
        schemas = {names[kind]: _job(kind, processor, plain), **_params(kind, processor)}
        if taken := schemas.keys() & (known.keys() | added.keys()):
            raise TypeError(f"the kind {kind} needs schemas of names that are taken: {', '.join(sorted(taken))}")
        added |= schemas
    union = {
        "title": UNION,
        "description": plain["description"],
        "oneOf": [{"$ref": SCHEMAS + name} for name in names.values()],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind: SCHEMAS + name for kind, name in names.items()},
        },
        "examples": [examples.JOB],
    }
    schemas = dict(sorted({**known, **added, UNION: union}.items()))
    return {**document, "components": {**document["components"], "schemas": schemas}}


def _job(kind: str, processor: AnyProcessor, plain: Mapping[str, Any]) -> dict[str, Any]:
    told = describe(processor)
    schema = _mapping(told["params_schema"])
    first = str(told["description"]).partition("\n\n")[0].replace("\n", " ")
    shared = {name: value for name, value in plain["properties"].items() if name not in {"kind", "params"}}
    return {
        "title": f"{_camel(kind)}Job",
        "description": f"A job of kind `{kind}`. {first}",
        "type": "object",
        "properties": {
            "kind": {"type": "string", "const": kind},
            **shared,
            "params": {"$ref": f"{SCHEMAS}{_camel(kind)}Params"},
        },
        "required": ["kind", *(["params"] if schema.get("required") else [])],
        "additionalProperties": False,
        "examples": [{**examples.JOB, "kind": kind, "params": told["example"]}],
    }


def _params(kind: str, processor: AnyProcessor) -> dict[str, Any]:
    """The schema of the kind's params, and those that it refers to, by their names in the document."""
    body = dict(_mapping(describe(processor)["params_schema"]))
    del body["$schema"]
    inner = _mapping(body.pop("$defs", {}))
    own = f"{_camel(kind)}Params"
    names = {DEFS + name: f"{SCHEMAS}{own}{name}" for name in inner} | {DEFS + processor.Params.__name__: SCHEMAS + own}
    told = {own: {**body, "title": own, "examples": [dict(processor.example)]}}
    told |= {f"{own}{name}": {**_mapping(schema), "title": f"{own}{name}"} for name, schema in inner.items()}
    return {name: polished(_renamed(schema, names)) for name, schema in told.items()}


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """The same with other names of schemas, in references and in the mappings of discriminators."""
    match node:
        case str():
            return names.get(node, node)
        case list() | tuple():
            return [_renamed(inner, names) for inner in node]
        case dict():
            return {name: _renamed(inner, names) for name, inner in node.items()}
    return node


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a schema is an object, not a {type(value).__name__}")
    return value


def _camel(kind: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in kind.split("_"))
