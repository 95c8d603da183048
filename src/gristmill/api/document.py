"""The OpenAPI document: its frame, and what the framework does not know of our types."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import (
    Components,
    Example,
    License,
    OpenAPIType,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.params import PathParameter
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from gristmill import __version__
from gristmill.api import examples

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

# JSON that passes through as it is stored: nobody decodes a profile of ten thousand columns to send it on.
JsonObject = msgspec.Raw

JobId = Annotated[UUID, PathParameter(description="The job's id.", examples=[Example(value=str(examples.JOB_ID))])]
DatasetId = Annotated[
    UUID, PathParameter(description="The dataset's id.", examples=[Example(value=str(examples.DATASET_ID))])
]

ROUTER_PATH = "/schema"

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
    Tag("Processors", "The kinds of jobs."),
    Tag("Queue", "What waits, who works, and what an operator limits. Limits and pauses need the scope admin."),
    Tag("Health", "For load balancers and the like. No key is needed."),
]


class RawJson(OpenAPISchemaPlugin):
    """Documents `JsonObject`."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.annotation is msgspec.Raw

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: "SchemaCreator") -> Schema:
        return Schema(type=OpenAPIType.OBJECT, additional_properties=True)


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
