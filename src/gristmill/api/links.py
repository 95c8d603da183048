"""Links of the OpenAPI document: which answers lead to which operations, so that a reader, a generated client or a
fuzzer can go the whole way: a dataset, a job on it, its result, and the removal of both.
"""

from collections.abc import Mapping
from typing import Any, Final

_ID = "$response.body#/id"
_DATASET, _JOB = "$request.path.dataset_id", "$request.path.job_id"


def _of_dataset(dataset_id: str, *names: str) -> dict[str, dict[str, str]]:
    return {name: {"dataset_id": dataset_id} for name in names}


def _of_job(job_id: str, *names: str) -> dict[str, dict[str, str]]:
    return {name: {"job_id": job_id} for name in names}


# Operation and status → the operations that it leads to → where their parameters come from. None leads on from a list:
# it may be empty, and a link that can't be followed is an error to who follows it.
LINKS: Final[dict[tuple[str, str], dict[str, dict[str, str]]]] = {
    # The id of an upload is that of the dataset that it is going to be.
    ("createDataset", "201"): {
        **_of_dataset(_ID, "getDataset", "deleteDataset", "getUpload", "abortUpload"),
        "submitJob": {},
    },
    ("getDataset", "200"): {
        **_of_dataset(_DATASET, "listRows", "getProfile", "listRejects", "downloadDataset", "deleteDataset"),
        "submitJob": {},
    },
    ("getUpload", "200"): _of_dataset(_DATASET, "abortUpload"),
    ("submitJob", "202"): _of_job(_ID, "getJob", "listEvents", "getResult", "cancelJob", "retryJob"),
    ("getJob", "200"): _of_job(_JOB, "getResult", "listEvents", "deleteJob"),
    ("cancelJob", "200"): _of_job(_JOB, "retryJob", "deleteJob"),
    ("getResult", "200"): _of_job(_JOB, "listResultRows", "deleteJob"),
}
# What is sent to those that want a body.
BODIES: Final = {"submitJob": {"kind": "metrics", "dataset_id": "{$response.body#/id}"}}


def with_links(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its links."""
    paths = {
        path: {method: _linked(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": paths}


def _linked(operation: Mapping[str, Any]) -> dict[str, Any]:
    answers = {}
    for status, answer in operation["responses"].items():
        leads_to = LINKS.get((operation["operationId"], status), {})
        links = {name: _link(name, given) for name, given in leads_to.items()}
        answers[status] = {**answer, "links": links} if links else answer
    return {**operation, "responses": answers}


def _link(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    body = {"requestBody": BODIES[name]} if name in BODIES else {}
    return {"operationId": name, "parameters": dict(given), **body}
