"""What was found in a dataset: a profile of each column, and how the original was read."""

from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gristmill.api.datasets import found_dataset
from gristmill.api.document import DatasetId, JsonObject
from gristmill.api.problems import documented
from gristmill.api.rows import ready
from gristmill.db.engine import Database
from gristmill.domain.dataset import DataFormat
from gristmill.errors import InternalError


class DatasetProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`rows_read == rows_loaded + rows_rejected`. `dialect` says how the original was read, `warnings` what was odd.

    Each of `columns` has `name`, `type`, `count` (values that are not null) and `nulls`, and more that depends on its
    type, as the kind `metrics` tells it: `monotonic` and of times `gaps`, for two. `figures` are of the whole table.
    """

    dataset_id: UUID
    format: DataFormat
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_repaired: int
    dialect: JsonObject
    warnings: tuple[str, ...]
    figures: JsonObject
    columns: tuple[JsonObject, ...]


@get(
    "/{dataset_id:uuid}/profile",
    operation_id="getProfile",
    summary="Look at a dataset's profile",
    responses=documented(404, 409),
    response_description="The profile.",
)
async def get_profile(
    dataset_id: DatasetId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> DatasetProfile:
    """While the dataset is not ready: 409 `dataset-not-ready` with `Retry-After`."""
    row, _ = ready(await found_dataset(database, dataset_id, owner=owner))
    stored = msgspec.json.decode(row.profile or b"{}", type=dict[str, msgspec.Raw])
    counts = (row.rows_read, row.rows_loaded, row.rows_rejected, row.rows_repaired)
    read, loaded, rejected, repaired = (_known(count) for count in counts)
    return DatasetProfile(
        dataset_id=row.id,
        format=row.format,
        rows_read=read,
        rows_loaded=loaded,
        rows_rejected=rejected,
        rows_repaired=repaired,
        dialect=row.dialect or msgspec.Raw(b"{}"),
        warnings=row.warnings or (),
        figures=msgspec.Raw(msgspec.json.encode({name: value for name, value in stored.items() if name != "columns"})),
        columns=tuple(msgspec.json.decode(stored.get("columns", b"[]"), type=list[msgspec.Raw])),
    )


def _known(count: int | None) -> int:
    if count is None:
        raise InternalError("A dataset that is ready has no counts.")
    return count
