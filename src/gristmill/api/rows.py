"""Pages of typed rows, of a dataset and of a job's result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple, cast

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Schema,
)
from litestar.params import QueryParameter

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.datasets import found_dataset
from gristmill.api.document import DatasetId, JobId
from gristmill.api.jobs import found_job
from gristmill.api.paging import Cursor, Limit, Next, Paging
from gristmill.api.problems import documented
from gristmill.api.reading import PAGE_BYTES, PageReader
from gristmill.api.results import without_result
from gristmill.api.tables import TableType, encoded, json_rows, wanted_type
from gristmill.db.engine import Database
from gristmill.db.rows import DatasetRow
from gristmill.domain.column import Column
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import INGEST_KIND
from gristmill.domain.manifest import PARQUET, Manifest, StoredFile, is_part
from gristmill.errors import DatasetFailed, DatasetNotReady, Fault, InvalidRequest, NoRows
from gristmill.objects import read_rows
from gristmill.settings import Settings

MAX_ROW = 2**63 - 1


class RowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in their order; row `i` here is row `first_row + i` of the table, which counts from 0.

    A row is an array of values in the order of `columns`. Integers beyond ±(2^53 - 1), decimals, times and bytes
    (base64) are strings, and so are `"NaN"`, `"Infinity"` and `"-Infinity"`; lists and structs are arrays and objects.
    A page ends early where its rows are large: go on with `next`, which is absent on the last page.
    """

    columns: tuple[Column, ...]
    first_row: int
    total_rows: int
    rows: tuple[tuple[Any, ...], ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


Columns = Annotated[
    list[str] | None,
    QueryParameter(description="Only this column, and in this order: repeat it for each. Default: all."),
]
Guard = Annotated[
    bool,
    QueryParameter(
        description="In CSV, put an apostrophe before texts that a spreadsheet would take for a formula (=, +, -, @)."
    ),
]


FirstRow = Annotated[
    int, QueryParameter(ge=0, le=MAX_ROW, description="Begin at this row, from 0; a cursor goes before.")
]


@dataclass
class TableOperation(Operation):
    """The framework knows of one media type of an answer; a page of a table has four, each with a sample."""

    samples: ClassVar[Mapping[TableType, Any]] = {
        TableType.JSON: examples.ROWS,
        TableType.NDJSON: examples.NDJSON,
        TableType.CSV: examples.CSV,
    }

    def __post_init__(self) -> None:
        answered = (self.responses or {}).get("200")
        if not isinstance(answered, OpenAPIResponse) or answered.content is None:
            return
        text = Schema(type=OpenAPIType.STRING)
        for kind, sample in self.samples.items():
            told = answered.content.setdefault(kind, OpenAPIMediaType(schema=text))
            told.examples = {"page": Example(summary="A page", value=sample)}
        binary = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="An Arrow IPC stream.")
        answered.content[TableType.ARROW] = OpenAPIMediaType(schema=binary)


class Table(NamedTuple):
    """Rows in Parquet files, and the path they are read at. `names` are the columns of the files."""

    path: str
    bucket: str
    prefix: str
    files: tuple[StoredFile, ...]
    names: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows or 0 for file in self.files)


@dataclass(frozen=True)
class Wish:
    """What of a table is asked for, and how it is to be told."""

    kind: TableType
    columns: Sequence[str] | None
    limit: int
    cursor: str | None
    guard: bool
    first_row: int = 0


@get(
    "/{dataset_id:uuid}/rows",
    operation_id="listRows",
    summary="Read a dataset's rows",
    operation_class=TableOperation,
    responses=documented(400, 404, 406, 409, 413, 422),
    response_description="A page of rows, in the order of the original. `Link` leads to the next one.",
)
async def list_rows(
    *,
    dataset_id: DatasetId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    reader: NamedDependency[PageReader],
    owner: NamedDependency[str],
    columns: Columns = None,
    formula_guard: Guard = False,
    first_row: FirstRow = 0,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[RowPage]:
    """As JSON, or by `Accept` as NDJSON (one object a row), CSV or an Arrow stream.

    While the dataset is not ready: 409 `dataset-not-ready` with `Retry-After`.
    """
    kind = wanted_type(request.headers.get("Accept"))
    row, manifest = ready(await found_dataset(database, dataset_id, owner=owner))
    files = tuple(file for file in manifest.files if is_part(file.name))
    names = tuple(column.name for column in row.columns or ())
    table = Table(f"/datasets/{dataset_id}/rows", manifest.bucket, manifest.prefix, files, names)
    wish = Wish(kind, columns, limit, cursor, formula_guard, first_row)
    return await page_of(table, wish, settings, reader, owner=owner)


@get(
    "/{job_id:uuid}/result/rows",
    operation_id="listResultRows",
    summary="Read the rows of a job's result",
    operation_class=TableOperation,
    responses=documented(400, 404, 406, 409, 413, 415, 422),
    response_description="A page of rows. `Link` leads to the next one.",
)
async def list_result_rows(
    *,
    job_id: JobId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    reader: NamedDependency[PageReader],
    owner: NamedDependency[str],
    columns: Columns = None,
    formula_guard: Guard = False,
    first_row: FirstRow = 0,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[RowPage]:
    """As JSON, or by `Accept` as NDJSON (one object a row), CSV or an Arrow stream.

    While the job is not final: 409 `result-not-ready` with `Retry-After`. A failed or canceled job answers with its
    own problem; a result that is a report alone with 404 `no-rows`.
    """
    kind = wanted_type(request.headers.get("Accept"))
    row = await found_job(database, job_id, owner=owner)
    if row.manifest is None:
        refusal: Response[Any] = without_result(row, request.scope["path"])
        return refusal
    files = tables_of(row.manifest, kind=row.kind)
    if not files:
        raise NoRows(f"A {row.kind} job makes a report and no table: see /jobs/{job_id}/result.")
    known = row.manifest.columns
    if row.kind == INGEST_KIND:
        known = (await found_dataset(database, row.dataset_id, owner=owner)).columns or ()
    if not known:
        raise NoRows(f"The result does not say which columns it has: download its files, see /jobs/{job_id}/result.")
    names = tuple(column.name for column in known)
    table = Table(f"/jobs/{job_id}/result/rows", row.manifest.bucket, row.manifest.prefix, files, names)
    wish = Wish(kind, columns, limit, cursor, formula_guard, first_row)
    return await page_of(table, wish, settings, reader, owner=owner)


def ready(row: DatasetRow) -> tuple[DatasetRow, Manifest]:
    """The dataset and what ingest wrote. Raises DatasetNotReady, or DatasetFailed with the reason."""
    if row.status is DatasetStatus.FAILED:
        raise DatasetFailed("The dataset has failed." if row.error is None else row.error.detail)
    if row.manifest is None:
        raise DatasetNotReady(f"The dataset is {row.status.value}.")
    return row, row.manifest


def tables_of(manifest: Manifest, *, kind: str) -> tuple[StoredFile, ...]:
    """The files of a result that are its rows; an ingest also writes the rows that it rejected."""
    tables = (file for file in manifest.files if file.media_type == PARQUET)
    return tuple(file for file in tables if kind != INGEST_KIND or is_part(file.name))


async def page_of(table: Table, wish: Wish, settings: Settings, reader: PageReader, *, owner: str) -> Response[RowPage]:
    """Read one page and tell it. Raises InvalidRequest, InvalidCursor, and as `read_rows`."""
    names = _chosen(wish.columns, table.names)
    # Of this attempt's files and no others: a cursor outlives neither them nor the choice of columns.
    paging = Paging(
        of=f"rows of {table.prefix}",
        path=table.path,
        owner=owner,
        limit=wish.limit,
        cursor=wish.cursor,
        filters={"columns": None if wish.columns is None else msgspec.json.encode(wish.columns).decode()},
        query={"columns": wish.columns, "formula_guard": "true" if wish.guard else None},
    )
    first = paging.first(min(wish.first_row, table.rows))

    def read() -> tuple[bytes, Next]:
        frame = read_rows(
            settings,
            table.bucket,
            table.files,
            columns=names,
            width=len(table.names),
            first_row=first,
            rows=wish.limit,
            max_bytes=PAGE_BYTES,
        )
        end = first + frame.height
        cursor = paging.following(end if end < table.rows else None)
        if wish.kind is not TableType.JSON:
            return encoded(frame, wish.kind, guard=wish.guard), cursor
        columns = tuple(Column(name, str(kind)) for name, kind in frame.schema.items())
        rows = cast("tuple[tuple[Any, ...], ...]", json_rows(frame))
        page = RowPage(columns=columns, first_row=first, total_rows=table.rows, rows=rows, next=cursor)
        return msgspec.json.encode(page), cursor

    body, cursor = await reader.run(partial(read))
    headers = {
        "X-First-Row": str(first),
        "X-Total-Rows": str(table.rows),
        "Vary": "Accept",
        **paging.headers(cursor),
    }
    # Told by the thread that read it: the document knows it as a page of rows.
    told: Response[Any] = Response(body, media_type=wish.kind, headers=headers)
    return told


def _chosen(wanted: Sequence[str] | None, names: Sequence[str]) -> Sequence[str]:
    """The names that are asked for, each once. Raises InvalidRequest."""
    if wanted is None:
        return names
    known, seen = set(names), set[str]()
    faults = []
    for place, name in enumerate(wanted):
        if name not in known or name in seen:
            told = "There is no such column." if name not in known else "The column is named twice."
            faults.append(Fault(f"/query/columns/{place}", told))
        seen.add(name)
    if faults:
        raise InvalidRequest("The columns do not fit.", errors=tuple(faults))
    return wanted
