"""Links of the OpenAPI document: which answers lead to operations that a reader of paths and schemas can't tell."""

from collections.abc import Mapping
from typing import Any, Final

# Operation and status → the operations that it leads to → where their parameters come from.
LINKS: Final[dict[tuple[str, str], dict[str, dict[str, str]]]] = {
    # The id of an upload is that of the dataset that it is going to be.
    ("createDataset", "201"): {"abortUpload": {"dataset_id": "$response.body#/id"}},
    ("getUpload", "200"): {"abortUpload": {"dataset_id": "$request.path.dataset_id"}},
    ("submitJob", "202"): {"retryJob": {"job_id": "$response.body#/id"}},
    ("cancelJob", "200"): {"retryJob": {"job_id": "$request.path.job_id"}},
    ("listDeliveries", "200"): {
        "redeliver": {"webhook_id": "$request.path.webhook_id", "delivery_id": "$response.body#/items/0/id"}
    },
}


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
        links = {name: {"operationId": name, "parameters": given} for name, given in leads_to.items()}
        answers[status] = {**answer, "links": links} if links else answer
    return {**operation, "responses": answers}
