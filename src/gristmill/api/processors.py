"""The kinds of jobs there are."""

from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter

from gristmill.api.document import JsonObject
from gristmill.api.problems import documented
from gristmill.api.submit import HeldProcessors
from gristmill.errors import NotFound
from gristmill.processors import AnyProcessor, describe


class ProcessorDescription(msgspec.Struct, frozen=True):
    """A kind of job: what it does, the JSON Schema (2020-12) of its params, and params that work."""

    kind: str
    version: int
    description: str
    params_schema: JsonObject
    example: JsonObject


class ProcessorList(msgspec.Struct, frozen=True):
    """Every kind, by name."""

    items: tuple[ProcessorDescription, ...]


@get(
    operation_id="listProcessors",
    summary="List the kinds of jobs",
    responses=documented(),
    response_description="Every kind, by name.",
)
async def list_processors(processors: NamedDependency[HeldProcessors]) -> ProcessorList:
    return ProcessorList(tuple(_description(processor) for processor in processors.values()))


@get(
    "/{kind:str}",
    operation_id="getProcessor",
    summary="Look at a kind of job",
    responses=documented(404),
    response_description="The kind.",
)
async def get_processor(
    kind: Annotated[str, PathParameter(description="The kind's name.", examples=[Example(value="metrics")])],
    processors: NamedDependency[HeldProcessors],
) -> ProcessorDescription:
    processor = processors.get(kind)
    if processor is None:
        raise NotFound(f"There is no such kind; there are {', '.join(processors)}.")
    return _description(processor)


def _description(processor: AnyProcessor) -> ProcessorDescription:
    return msgspec.json.decode(msgspec.json.encode(describe(processor)), type=ProcessorDescription)


def routes() -> Router:
    return Router("/processors", route_handlers=[list_processors, get_processor], tags=["Processors"])
