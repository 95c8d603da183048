"""What an attempt wrote: the files, their sizes, rows and digests. A manifest is what a completion publishes."""

import msgspec

from gristmill.domain.column import Column


class StoredFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: its key in its bucket, size in bytes, rows (None when it is not a table) and SHA-256 in hex.

    `text_bytes` is what a table's texts and nested values take in memory; 0 where nobody has counted. With
    `content`, a small document that its manifest holds: it commits with the job, and is stored as an object when
    somebody first asks where that is.
    """

    key: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    text_bytes: int = 0
    content: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The files of one attempt in their order, under `prefix`, and the rows that went in and came out.

    `columns` are those of the tables among them, for jobs that take the result as their data.
    """

    bucket: str
    prefix: str
    files: tuple[StoredFile, ...]
    rows_in: int = 0
    rows_out: int = 0
    rows_dropped: int = 0
    report: msgspec.Raw = msgspec.Raw(b"{}")
    columns: tuple[Column, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


MSGPACK = "application/vnd.msgpack"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.file"
JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"


KEPT_NAME = "profile.msgpack"
"""What ingest keeps of a dataset's figures, beside its parts."""


def part_name(ordinal: int) -> str:
    """`part-00007.parquet` for the eighth part: names sort in the order of rows."""
    return f"part-{ordinal:05d}.parquet"


ORIGINAL = "original"


def is_part(name: str) -> bool:
    """Whether a file of an ingest holds rows of the dataset, as against those that were rejected."""
    return name.startswith("part-")


def original_key(dataset_id: str) -> str:
    return f"{dataset_id}/{ORIGINAL}"


def dataset_prefix(dataset_id: str) -> str:
    """What all objects of a dataset are under."""
    return f"{dataset_id}/"


def ingest_prefix(dataset_id: str, lease: int) -> str:
    return f"{dataset_id}/parts/{lease}/"


def result_prefix(job_id: str, lease: int) -> str:
    """Where an attempt writes. The lease is never reused, so no two attempts share a key."""
    return f"results/{job_id}/{lease}/"
