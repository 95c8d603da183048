"""Promise: what a process remembers of datasets is their owner's alone, ready, and bounded."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from gristmill.api import remembered
from gristmill.api.remembered import ReadyDatasets
from gristmill.db.rows import DatasetRow
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, DatasetStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(*, owner: str = "ann", status: DatasetStatus = DatasetStatus.READY, columns: int = 1) -> DatasetRow:
    id_ = uuid4()
    return DatasetRow(
        id=id_,
        owner=owner,
        name="",
        format=DataFormat.CSV,
        status=status,
        original_key=f"{id_}/original",
        media_type="text/csv",
        size_bytes=1,
        sha256="0" * 64,
        options=msgspec.Raw(b"{}"),
        columns=tuple(Column(str(n), "Int64") for n in range(columns)),
        **dict.fromkeys(("rows_read", "rows_loaded", "rows_rejected", "rows_repaired")),
        **dict.fromkeys(("dialect", "profile", "warnings", "manifest", "error", "expires_at")),
        labels={},
        created_at=NOW,
        updated_at=NOW,
    )


def test_it_is_of_its_owner_alone() -> None:
    ready, known = ReadyDatasets(), row()
    ready.see([known])
    assert ready.get(known.id, owner="ann") is known
    assert ready.get(known.id, owner="bob") is None
    ready.forget(known.id, owner="bob")
    assert ready.get(known.id, owner="ann") is known
    ready.forget(known.id, owner="ann")
    assert ready.get(known.id, owner="ann") is None


@pytest.mark.parametrize(
    "other",
    [row(status=DatasetStatus.VALIDATING), row(status=DatasetStatus.FAILED), row(columns=remembered.MOST_COLUMNS + 1)],
    ids=["validating", "failed", "wide"],
)
def test_what_may_change_or_is_wide_is_asked_for_each_time(other: DatasetRow) -> None:
    ready = ReadyDatasets()
    ready.see([other])
    assert ready.get(other.id, owner="ann") is None


def test_what_was_used_longest_ago_is_forgotten() -> None:
    ready, rows = ReadyDatasets(), [row() for _ in range(remembered.MOST_DATASETS)]
    ready.see(rows)
    assert ready.get(rows[0].id, owner="ann") is rows[0]
    ready.see([row()])
    held: list[UUID] = [known.id for known in rows if ready.get(known.id, owner="ann") is not None]
    assert held == [rows[0].id, *(known.id for known in rows[2:])]
