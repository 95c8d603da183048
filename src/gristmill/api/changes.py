"""Changing what a user says of a dataset: a JSON Merge Patch (RFC 7396)."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import patch
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg
from msgspec import UNSET, Meta, UnsetType

from gristmill.api.answers import Response
from gristmill.api.conditions import IfMatch, check_match
from gristmill.api.datasets import Dataset, dataset_of, validators
from gristmill.api.document import DatasetId
from gristmill.api.expiry import checked_expiry
from gristmill.api.formats import MAX_NAME, checked_name
from gristmill.api.problems import documented
from gristmill.api.submissions import Label, LabelValue
from gristmill.db.changes import Kept, change_dataset
from gristmill.db.engine import Database
from gristmill.db.rows import DatasetRow
from gristmill.errors import Fault, InvalidRequest, NotFound

MAX_LABELS = 32
EXAMPLE = {"name": "Readings of May", "labels": {"site": "north", "draft": None}, "expires_at": "2030-01-01T00:00:00Z"}


class DatasetChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays. A label that is null goes, as do all of them with `labels: null`.

    At `expires_at` the dataset is removed, with all its objects, once no job needs it; null: it stays.
    """

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | UnsetType = UNSET
    labels: Annotated[dict[Label, LabelValue | None], Meta(max_length=2 * MAX_LABELS)] | UnsetType | None = UNSET
    expires_at: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET


@patch(
    "/{dataset_id:uuid}",
    operation_id="changeDataset",
    summary="Change a dataset's name, labels or expiry",
    responses=documented(404, 412, 413, 415, 422),
    response_description="The dataset as it is now, with its new `ETag`.",
)
async def update_dataset(
    dataset_id: DatasetId,
    data: Annotated[
        DatasetChanges,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=EXAMPLE, summary="All of them")]),
    ],
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    if_match: IfMatch = None,
) -> Response[Dataset]:
    """A JSON Merge Patch. With `If-Match` nothing is changed if somebody else has changed the dataset meanwhile, or if
    its ingest has; without it, the last one wins.
    """

    def change(row: DatasetRow) -> Kept:
        check_match(if_match, validators(dataset_of(row))["ETag"])
        return _merged(row, data)

    row = await change_dataset(database, dataset_id, owner=owner, change=change)
    if row is None:
        raise NotFound("There is no such dataset.")
    dataset = dataset_of(row)
    return Response(dataset, headers=validators(dataset))


def _merged(row: DatasetRow, data: DatasetChanges) -> Kept:
    return Kept(
        name=row.name if isinstance(data.name, UnsetType) else checked_name(data.name),
        labels=_labels(row.labels, data.labels),
        expires_at=row.expires_at if isinstance(data.expires_at, UnsetType) else checked_expiry(data.expires_at),
    )


def _labels(present: dict[str, str], given: dict[str, str | None] | UnsetType | None) -> dict[str, str]:
    if isinstance(given, UnsetType):
        return present
    merged = {} if given is None else {**present, **given}
    labels = {name: value for name, value in merged.items() if value is not None}
    if len(labels) > MAX_LABELS:
        fault = Fault("/labels", f"A dataset may have {MAX_LABELS} labels; these would be {len(labels)}.")
        raise InvalidRequest("There are too many labels.", errors=(fault,))
    return labels
