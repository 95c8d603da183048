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
    """What ingest found out: `rows_read == rows_loaded + rows_rejected`, always."""

    columns: tuple[Column, ...]
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_repaired: int = 0
    dialect: msgspec.Raw = msgspec.Raw(b"{}")
    profile: msgspec.Raw = msgspec.Raw(b"{}")
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_loaded + self.rows_rejected:
            raise ValueError(f"{self.rows_read} rows read, {self.rows_loaded} loaded, {self.rows_rejected} rejected")


class DatasetInput(msgspec.Struct, frozen=True):
    """The dataset a claimed job works on. `columns` and `parts` are there once the dataset is ready.

    `derived`: the rows are those of another job's result.
    """

    id: UUID
    format: DataFormat
    original_key: str
    size_bytes: int
    columns: tuple[Column, ...] = ()
    parts: Manifest | None = None
    profile: msgspec.Raw = msgspec.Raw(b"{}")
    rows: int = 0
    derived: bool = False
