"""Promise: the OpenAPI document is valid, and tells of each kind of job, of a dropped-in one too."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gristmill.api import examples
from gristmill.api.links import BODIES, LINKS
from gristmill.domain.pointer import escape
from gristmill.settings import Settings
from tests.api.serving import serving
from tests.worker.dropped_in import dropped_in

URI = "urn:document"


@pytest.fixture
async def told(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
    return document


def schema_errors(told: dict[str, Any], place: str, value: object) -> list[str]:
    """What of a value does not fit the schema at a place of the document."""
    registry: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(told))
    checker = Draft202012Validator(
        {"$ref": URI + place}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [error.message for error in checker.iter_errors(value)]


def within(node: object, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in the document, with its place."""
    if isinstance(node, dict):
        yield place, node
        for name, inner in node.items():
            yield from within(inner, f"{place}/{quote(escape(name))}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from within(inner, f"{place}/{index}")


def test_the_document_is_valid_openapi(told: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(told).iter_errors()] == []


def test_every_operation_has_an_example(told: dict[str, Any]) -> None:
    schemas = told["components"]["schemas"]

    def has_example(media: dict[str, Any]) -> bool:
        schema = media["schema"]
        names = [option.get("$ref", "").rpartition("/")[2] for option in schema.get("oneOf", [schema])]
        return bool(media.get("examples") or all("examples" in schemas.get(name, {}) for name in names))

    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            assert not bodies or any(map(has_example, bodies.values())), f"the body of {method} {path}"
            for status, answer in operation["responses"].items():
                contents = answer.get("content", {}).values()
                assert not contents or any(map(has_example, contents)), f"{status} of {method} {path}"


def test_every_example_fits_its_schema(told: dict[str, Any]) -> None:
    seen = 0
    for place, node in within(told):
        given = node.get("examples")
        if given is None or "/properties/" in place or "/examples/" in place:
            continue
        schema = f"{place}/schema" if "schema" in node else place
        for value in [item["value"] for item in given.values()] if isinstance(given, dict) else given:
            assert schema_errors(told, schema, value) == [], (place, value)
            seen += 1
    assert seen > 60
    assert examples.ANSWERS.keys() <= told["components"]["schemas"].keys()


async def test_a_job_is_told_by_its_kind(client: httpx.AsyncClient, told: dict[str, Any]) -> None:
    schemas = told["components"]["schemas"]
    union = schemas["JobRequest"]
    kinds = {kind["kind"]: kind for kind in (await client.get("/processors")).json()["items"]}
    assert union["discriminator"]["propertyName"] == "kind"
    mapping = union["discriminator"]["mapping"]
    assert mapping.keys() == kinds.keys()
    assert [option["$ref"] for option in union["oneOf"]] == list(mapping.values())
    for kind, reference in mapping.items():
        job = schemas[reference.rpartition("/")[2]]
        assert job["properties"]["kind"] == {"type": "string", "const": kind}
        params = schemas[job["properties"]["params"]["$ref"].rpartition("/")[2]]
        assert params["properties"].keys() == kinds[kind]["params_schema"]["properties"].keys()
        validator_for(params).check_schema(params)
        own = {"kind": kind, "dataset_id": str(examples.DATASET_ID), "params": kinds[kind]["example"]}
        assert schema_errors(told, "#/components/schemas/JobRequest", own) == []
    wrong = {"kind": "metrics", "dataset_id": str(examples.DATASET_ID), "params": {"steps": []}}
    assert schema_errors(told, "#/components/schemas/JobRequest", wrong)
    body = {"$ref": "#/components/schemas/JobRequest"}
    jobs = told["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert jobs == body
    assert schemas["JobBatch"]["properties"]["jobs"]["items"] == body
    assert schemas["ScheduleRequest"]["properties"]["job"] == body


async def test_a_dropped_in_kind_is_told_without_touching_the_others(
    module_environment: dict[str, str], told: dict[str, Any], tmp_path: Path
) -> None:
    with serving({**module_environment, **dropped_in(tmp_path)}, tmp_path / "log") as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            more: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
    assert [error.message for error in OpenAPIV31SpecValidator(more).iter_errors()] == []
    before, after = told["components"]["schemas"], more["components"]["schemas"]
    assert after.keys() - before.keys() == {"MisbehaveJob", "MisbehaveParams"}
    assert {name: after[name] for name in before if name != "JobRequest"} == {
        name: schema for name, schema in before.items() if name != "JobRequest"
    }
    job = {"kind": "misbehave", "dataset_id": str(examples.DATASET_ID), "params": {"take_mb": 1}}
    assert schema_errors(more, "#/components/schemas/JobRequest", job) == []
    assert schema_errors(told, "#/components/schemas/JobRequest", job)


def test_names_of_operations_are_fit_for_generated_code(told: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operations in told["paths"].values() for operation in operations.values()]
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in ids)
    tags = {tag["name"] for tag in told["tags"]}
    used = [operation["tags"] for operations in told["paths"].values() for operation in operations.values()]
    assert all(len(names) == 1 and names[0] in tags for names in used)


def test_links_lead_to_operations_and_fill_their_paths(told: dict[str, Any]) -> None:
    by_id = {
        operation["operationId"]: (path, operation)
        for path, operations in told["paths"].items()
        for operation in operations.values()
    }
    for (name, status), leads_to in LINKS.items():
        links = by_id[name][1]["responses"][status]["links"]
        assert links.keys() == leads_to.keys()
        for link in links.values():
            path, _ = by_id[link["operationId"]]
            assert link["parameters"].keys() == set(re.findall(r"\{(\w+)\}", path))


def test_links_go_from_an_upload_to_a_result_and_to_the_end(told: dict[str, Any]) -> None:
    seen, ahead = {"createDataset"}, ["createDataset"]
    while ahead:
        operation = ahead.pop()
        onward = {target for (name, _), leads_to in LINKS.items() if name == operation for target in leads_to}
        ahead += onward - seen
        seen |= onward
    assert {"submitJob", "getJob", "getResult", "listResultRows", "deleteJob", "deleteDataset", "abortUpload"} <= seen
    body = {**BODIES["submitJob"], "dataset_id": str(examples.DATASET_ID)}
    assert schema_errors(told, "#/components/schemas/JobRequest", body) == []


def test_no_example_is_invented(settings: Settings) -> None:
    """What the framework's makers of random examples load takes 7 MB, which uploads have a use for."""
    look = (
        "import sys\n"
        "from gristmill.api.app import create_app\n"
        "from gristmill.settings import load_settings\n"
        "assert create_app(load_settings(env_file=None)).openapi_schema.paths\n"
        "print(*sorted({'faker', 'polyfactory'} & sys.modules.keys()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", look], check=True, capture_output=True, text=True, env=settings.environment()
    )
    assert said.stdout.split() == []
