"""The rows that ingest did not take: in pages with line, column, reason and text, and as a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
import polars as pl
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.datasets import found_dataset
from gristmill.api.document import DatasetId
from gristmill.api.paging import Cursor, Limit, Next, Paging
from gristmill.api.problems import documented
from gristmill.api.reading import PAGE_BYTES, PageReader
from gristmill.api.rows import Guard, TableOperation, ready
from gristmill.api.tables import TableType, encoded, wanted_type
from gristmill.db.engine import Database
from gristmill.domain.manifest import Manifest, StoredFile
from gristmill.errors import NoRows
from gristmill.ingest.csv_records import Reason
from gristmill.ingest.rejects import SCHEMA, TABLE
from gristmill.objects import ObjectStore, read_matching, read_rows
from gristmill.settings import Settings

COLUMNS = tuple(SCHEMA)


class RejectedRow(msgspec.Struct, frozen=True):
    """A row of the original that was not loaded: its line and column there, from 1, and its text, up to 64 KiB.

    `column` is null where the whole row is at fault.
    """

    line: int
    column: int | None
    reason: str
    raw: str


class RejectPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rejected rows in the order of the original; `rows_rejected` are there in all, whatever the reason.

    `next` is the cursor of the next page; absent on the last.
    """

    items: tuple[RejectedRow, ...]
    rows_rejected: int
    next: str | msgspec.UnsetType = msgspec.UNSET


@dataclass
class RejectsOperation(TableOperation):
    """A page of rejected rows, with samples of its own."""

    samples: ClassVar[Mapping[TableType, Any]] = {
        TableType.JSON: examples.REJECTS,
        TableType.NDJSON: examples.REJECTS_NDJSON,
        TableType.CSV: examples.REJECTS_CSV,
    }


@get(
    "/{dataset_id:uuid}/rejects",
    operation_id="listRejects",
    summary="List a dataset's rejected rows",
    operation_class=RejectsOperation,
    responses=documented(400, 404, 406, 409, 413, 422),
    response_description="A page of rejected rows. `Link` leads to the next one.",
)
async def list_rejects(
    *,
    dataset_id: DatasetId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    reader: NamedDependency[PageReader],
    owner: NamedDependency[str],
    reason: Annotated[Reason | None, QueryParameter(description="Only those rejected for this reason.")] = None,
    formula_guard: Guard = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[RejectPage]:
    """As JSON, or by `Accept` as NDJSON, CSV or an Arrow stream. `rows_read == rows_loaded + rows_rejected`, always."""
    kind = wanted_type(request.headers.get("Accept"))
    _, manifest = ready(await found_dataset(database, dataset_id, owner=owner))
    paging = Paging(
        of=f"rejects of {manifest.prefix}",
        path=f"/datasets/{dataset_id}/rejects",
        owner=owner,
        limit=limit,
        cursor=cursor,
        filters={"reason": reason},
        query={"reason": reason, "formula_guard": "true" if formula_guard else None},
    )
    first, file = paging.first(0), _file(manifest)

    def read() -> tuple[bytes, Next]:
        frame, end = _read(settings, manifest.bucket, file, first=first, limit=limit, reason=reason)
        following = paging.following(end)
        if kind is not TableType.JSON:
            return encoded(frame, kind, guard=formula_guard), following
        items = tuple(RejectedRow(*row) for row in frame.iter_rows())
        page = RejectPage(items=items, rows_rejected=0 if file is None else file.rows or 0, next=following)
        return msgspec.json.encode(page), following

    body, following = await reader.run(read)
    headers = {"Vary": "Accept", **paging.headers(following)}
    told: Response[Any] = Response(body, media_type=kind, headers=headers)
    return told


@get(
    "/{dataset_id:uuid}/rejects/content",
    status_code=303,
    operation_id="downloadRejects",
    summary="Download a dataset's rejected rows",
    responses=documented(404, 409),
    response_description="`Location` downloads all of them as a Parquet file.",
)
async def download_rejects(
    dataset_id: DatasetId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
) -> Response[None]:
    """Where no row was rejected there is no file: 404 `no-rows`."""
    row, manifest = ready(await found_dataset(database, dataset_id, owner=owner))
    file = _file(manifest)
    if file is None:
        raise NoRows("No row of this dataset was rejected.")
    name = f"{row.name}-{TABLE}"
    url, _ = await store.presign_get(manifest.bucket, file.key, filename=name, ttl_s=settings.presign_ttl_s)
    return Response(None, status_code=303, headers={"Location": url})


def _file(manifest: Manifest) -> StoredFile | None:
    return next((file for file in manifest.files if file.name == TABLE), None)


def _read(
    settings: Settings, bucket: str, file: StoredFile | None, *, first: int, limit: int, reason: Reason | None
) -> tuple[pl.DataFrame, int | None]:
    """Rejected rows from row `first` of the file on, and the row to go on at, if there is more."""
    if file is None:
        return pl.DataFrame(schema=SCHEMA), None
    if reason is None:
        found = read_rows(
            settings,
            bucket,
            [file],
            columns=COLUMNS,
            width=len(COLUMNS),
            first_row=first,
            rows=limit,
            max_bytes=PAGE_BYTES,
        )
        end = first + found.height
        return found, end if end < (file.rows or 0) else None
    return read_matching(
        settings,
        bucket,
        file,
        columns=COLUMNS,
        matching=("reason", reason.value),
        first_row=first,
        rows=limit,
        max_bytes=PAGE_BYTES,
    )
