"""How much memory a job will need, guessed before it runs, so that big jobs do not meet on one worker.

The guess need not be right: what holds is the budget of the process that computes. The figures are rounded up from the
peaks that `make test ARGS="tests/worker/test_memory.py --log-cli-level=info"` shows.
"""

from collections.abc import Sequence

from gristmill.domain.column import Column
from gristmill.domain.job import INGEST_KIND

MIB = 1024 * 1024

BASE = 128 * MIB
"""An executor with everything imported and S3 connected."""
IN_FLIGHT_ROWS = 2 * 122_880
"""Two row groups, one read and one written, in copies as many as `COPIES`."""
COPIES = 3
FIXED_WIDTH = 8
TEXT_WIDTH = 48
KEPT_PER_CELL = 16
"""A point and its weight, of each value while they are kept exactly."""
KEPT_MOST = 128 * MIB
DUPLICATES_PER_ROW = 160
"""Hashes, row numbers and what sorting them takes, of each different row that a pass keeps."""
DUPLICATES_ROWS = 1_572_864
INGEST_PER_BYTE = 2
INGEST_MOST = 320 * MIB

_TEXTS = ("String", "Categorical", "Enum", "Binary", "List", "Array", "Struct", "Object")


def need_of(kind: str, params: bytes, *, columns: Sequence[Column], rows: int, size_bytes: int) -> int:
    """Bytes of memory that an executor is likely to hold while it runs this job, its own ones included."""
    if kind == INGEST_KIND:
        return BASE + min(size_bytes * INGEST_PER_BYTE, INGEST_MOST)
    need = BASE + COPIES * min(rows, IN_FLIGHT_ROWS) * _width(columns) // 2
    # Kinds that nobody knows here are taken for the hungriest.
    if kind != "normalize":
        need += min(rows * len(columns) * KEPT_PER_CELL, KEPT_MOST)
    if b'"drop_duplicates"' in params:
        need += min(rows, DUPLICATES_ROWS) * DUPLICATES_PER_ROW
    return need


def _width(columns: Sequence[Column]) -> int:
    """Bytes of a row in memory, about."""
    return sum(TEXT_WIDTH if column.type.startswith(_TEXTS) else FIXED_WIDTH for column in columns)
