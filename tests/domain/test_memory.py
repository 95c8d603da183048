"""The guess at a job's memory grows with what it works on, to a bound."""

from gristmill.domain.column import Column
from gristmill.domain.memory import BASE, MIB, need_of

NUMBERS = (Column("a", "Int64"), Column("b", "Float64"))
BUDGET = 512 * MIB


def need(kind: str = "metrics", rows: int = 0, params: bytes = b"{}", size_bytes: int = 0, columns: int = 1) -> int:
    return need_of(kind, params, columns=NUMBERS * columns, rows=rows, size_bytes=size_bytes)


def test_a_small_job_needs_what_an_executor_needs() -> None:
    assert BASE <= need(rows=1000) < BASE + MIB
    assert 3 * need(rows=1000) < BUDGET


def test_it_does_not_grow_with_rows_for_ever() -> None:
    assert need(rows=100_000) < need(rows=30_000_000) == need(rows=300_000_000)
    assert need("ingest", size_bytes=10**6) < need("ingest", size_bytes=10**9) == need("ingest", size_bytes=10**12)


def test_the_hungry_are_known() -> None:
    steps = b'{"steps":[{"op":"drop_duplicates"}]}'
    assert need("normalize", rows=5_000_000, params=steps) > 2 * need("normalize", rows=5_000_000)
    assert 2 * need("normalize", rows=5_000_000, params=steps) > BUDGET
    assert need(rows=10**6, columns=500) > 2 * BUDGET, "wide tables"
