"""The OpenAPI document: its frame, and what the framework does not know of our types."""

import inspect
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import (
    Components,
    Example,
    License,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.params import PathParameter
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec import Meta

from gristmill import __version__
from gristmill.api import examples

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

# A time as it is told and taken: with its zone.
Moment = Annotated[datetime, Meta(tz=True)]

# JSON that passes through as it is stored: nobody decodes a profile of ten thousand columns to send it on.
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": True})]

JobId = Annotated[UUID, PathParameter(description="The job's id.", examples=[Example(value=str(examples.JOB_ID))])]
DatasetId = Annotated[
    UUID, PathParameter(description="The dataset's id.", examples=[Example(value=str(examples.DATASET_ID))])
]
# Under the name that the dataset is going to have.
UploadId = Annotated[
    UUID, PathParameter(description="The upload's id.", examples=[Example(value=str(examples.UPLOAD_ID))])
]

ROUTER_PATH = "/schema"
SCHEMAS = "#/components/schemas/"

DESCRIPTION = """
Gristmill turns uploaded datasets into results: upload a dataset, submit a job on it, look at the job until it is final,
and download its result.

The example ids on this page stand for your newest dataset and your newest job.

Errors are `application/problem+json` (RFC 9457) everywhere. Times are RFC 3339 in UTC. Ids are UUIDs of version 7.
Lists are in pages: send the `next` of a page as `cursor`, with the same filters, to get the next one.
Where there are API keys, every request but docs and health needs one: `Authorization: Bearer gm_…`.
""".strip()

TAGS = [
    Tag("Datasets", "What was uploaded, and what was found in it."),
    Tag("Jobs", "Work on datasets, and its results."),
    Tag("Schedules", "Jobs that are submitted again and again."),
    Tag("Webhooks", "Where the ends of jobs are told, and what was told there."),
    Tag("Processors", "The kinds of jobs."),
    Tag(
        "Keys", "Who may use this, and for what. All but `whoAmI` need the scope admin, which reaches all owners' keys."
    ),
    Tag("Queue", "What waits, who works, and what an operator limits. Limits and pauses need the scope admin."),
    Tag("Health", "For load balancers and the like. No key is needed."),
]


class Structs(OpenAPISchemaPlugin):
    """Notes the structs that the document needs, and leaves their schemas to the library that decodes them.

    The framework's own leave out limits of inner types, descriptions, and that unknown names are refused.
    """

    def __init__(self, *more: type[msgspec.Struct]) -> None:
        """`more` are structs that no handler declares, and the document tells of."""
        self._found = {struct.__name__: struct for struct in more}

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: "SchemaCreator") -> Schema:
        struct = field_definition.annotation
        self._found[struct.__name__] = struct
        return schema_creator.create_component_schema(field_definition, required=[], property_fields={})

    def schemas(self) -> dict[str, Any]:
        """The schemas of the structs that were found, and of all that is in them, by name."""
        found = [self._found[name] for name in sorted(self._found)]
        _, schemas = msgspec.json.schema_components(found, ref_template=f"{SCHEMAS}{{name}}")
        return {name: polished(schema) for name, schema in schemas.items()}


def completed(document: dict[str, Any], structs: Structs) -> dict[str, Any]:
    """The framework's document with the schemas of our structs, as code generators like it.

    A body that is one schema is told as that schema, with its examples beside it; a parameter that may be left out is
    no null; an answer without a body has no type.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
            for media in operation.get("requestBody", {}).get("content", {}).values():
                _lift(media)
            for answer in operation["responses"].values():
                if _is_empty(answer):
                    del answer["content"]
    told = document["components"]
    schemas = dict(sorted({**told["schemas"], **structs.schemas()}.items()))
    return {**document, "components": {**told, "schemas": schemas}}


def polished(schema: dict[str, Any]) -> dict[str, Any]:
    """The same JSON Schema as people and code generators read it best.

    Texts without the indentation of docstrings, a description beside the choices instead of within one, the type of
    words that are listed, and `const` for a single one. A default is told in words: of the keyword generators make
    fields that have to be there, or values that old clients would send for ever.
    """
    told = {name: _polished_part(name, part) for name, part in schema.items()}
    if "description" in told:
        told["description"] = inspect.cleandoc(told["description"])
    words = told.get("enum")
    if words and all(isinstance(word, str) for word in words):
        told["type"] = "string"
        if len(words) == 1:
            told["const"] = told.pop("enum")[0]
    if told.get("type") == "array" and not told.get("items"):
        told.pop("items", None)  # `false` beside `prefixItems`: `maxItems` says it already
        told |= {} if "prefixItems" in told else {"items": {}}
    options = told.get("anyOf", [])
    described = [option for option in options if "description" in option]
    if len(described) == 1 and "description" not in told:
        told["description"] = described[0].pop("description")
    if (default := told.pop("default", None)) is not None:
        words = f"Default: `{msgspec.json.encode(default).decode()}`."
        told["description"] = f"{told['description']} {words}" if "description" in told else words
    return told


def _polished_part(name: str, part: Any) -> Any:
    match name, part:
        case "properties", dict():
            return {inner: polished(schema) for inner, schema in part.items()}
        case "items" | "additionalProperties" | "propertyNames", dict():
            return polished(part)
        case "anyOf" | "oneOf" | "allOf" | "prefixItems", list() | tuple():
            return [polished(schema) for schema in part]
    return part


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("oneOf", [])
    rest = [option for option in options if option != {"type": "null"}]
    told = {name: value for name, value in schema.items() if name not in {"oneOf", "description", "examples"}}
    return {**rest[0], **told} if len(rest) == 1 else {**told, **({"oneOf": rest} if rest else {})}


def _is_empty(answer: dict[str, Any]) -> bool:
    contents = answer.get("content", {}).values()
    return bool(contents) and all(media.get("schema") == {"type": "null"} for media in contents)


def _lift(media: dict[str, Any]) -> None:
    schema = media["schema"]
    if len(schema.get("allOf", [])) == 1:
        media["schema"] = schema["allOf"][0]
        (example,) = schema["examples"]
        media["examples"] = {"example": {"value": example}}


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Gristmill",
        version=__version__,
        description=DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        path=ROUTER_PATH,
        tags=TAGS,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(
                    type="http", scheme="bearer", description="An API key, gm_<id>_<secret>. None while there are none."
                )
            }
        ),
        security=[{}, {"api_key": []}],
    )
