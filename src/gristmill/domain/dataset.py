"""A dataset: the original as it came, and the typed parts made from it."""

from enum import StrEnum
from uuid import UUID

import msgspec

from gristmill.domain.column import Column
from gristmill.domain.manifest import Manifest


class DatasetStatus(StrEnum):
    UPLOADED = "uploaded"
    VALIDATING = "validating"
    READY = "ready"
    FAILED = "failed"


class DataFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    XLSX = "xlsx"


class Ingested(msgspec.Struct, frozen=True):
    """What ingest found out: `rows_read == rows_loaded + rows_rejected`, always.

    `sha256` and `size_bytes` are of the original, where they were not known before.
    """

    columns: tuple[Column, ...]
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_repaired: int = 0
    dialect: msgspec.Raw = msgspec.Raw(b"{}")
    profile: msgspec.Raw = msgspec.Raw(b"{}")
    warnings: tuple[str, ...] = ()
    sha256: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_loaded + self.rows_rejected:
            raise ValueError(f"{self.rows_read} rows read, {self.rows_loaded} loaded, {self.rows_rejected} rejected")


class Source(msgspec.Struct, frozen=True):
    """An object in somebody else's bucket, as it was when its ETag was noted."""

    bucket: str
    key: str
    etag: str


class DatasetInput(msgspec.Struct, frozen=True):
    """The dataset a claimed job works on. `columns` and `parts` are there once the dataset is ready.

    `derived`: the rows are those of another job's result. `sha256` None: nobody has read the original yet. With a
    `source` the original is to be copied from there first.
    """

    id: UUID
    format: DataFormat
    original_key: str
    size_bytes: int
    columns: tuple[Column, ...] = ()
    parts: Manifest | None = None
    rows: int = 0
    derived: bool = False
    sha256: str | None = None
    source: Source | None = None
