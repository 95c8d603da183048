"""Parquet from outside: types are kept, parts are bounded, and what is broken ends in one of our errors."""

import datetime as dt
import gzip
import io
import random
from pathlib import Path

import polars as pl
import pytest

from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.errors import BadData, InputError, InternalError
from gristmill.ingest.options import Limits
from gristmill.ingest.parquet import ParquetTable
from gristmill.objects.slices import FOOTER_BYTES_PER_CHUNK, MAX_FOOTER_BYTES
from gristmill.processors.contract import ROW
from gristmill.writing import row_group_rows
from tests.ingest.folder import Load

FRAME = pl.DataFrame(
    {
        "id": range(2500),
        "x": [None if place % 7 == 0 else place / 3 for place in range(2500)],
        "word": [f"w{place % 13}" for place in range(2500)],
        "kind": pl.Series([f"k{place % 3}" for place in range(2500)], dtype=pl.Categorical),
        "day": [dt.date(2024, 1, 1) + dt.timedelta(days=place) for place in range(2500)],
        "when": pl.Series([place * 1000 for place in range(2500)]).cast(pl.Datetime("ns", "Europe/Berlin")),
        "price": pl.Series([f"{place}.25" for place in range(2500)]).cast(pl.Decimal(12, 2)),
        "many": [[place, place + 1] for place in range(2500)],
        "both": [{"a": place, "b": str(place)} for place in range(2500)],
        "raw": [str(place).encode() for place in range(2500)],
        "none": pl.Series([None] * 2500, dtype=pl.Float32),
    }
)


def parquet(frame: pl.DataFrame, row_group_size: int | None = None) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file, row_group_size=row_group_size)
    return file.getvalue()


@pytest.mark.parametrize("row_group_size", [None, 400])
def test_rows_order_and_types_are_kept(load: Load, row_group_size: int | None) -> None:
    loaded = load(parquet(FRAME, row_group_size), "parquet", limits=Limits(part_rows=1000))
    assert loaded.names == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert loaded.frame.schema == FRAME.schema
    assert loaded.frame.equals(FRAME)
    assert loaded.ingested.rows_read == 2500
    assert loaded.left_in_scratch == []
    x = loaded.profile["columns"][1]
    assert (x["count"], x["nulls"]) == (FRAME["x"].count(), FRAME["x"].null_count())
    assert x["mean"] == pytest.approx(FRAME["x"].mean(), rel=1e-12)


def test_no_rows_are_a_dataset_with_a_warning(load: Load) -> None:
    loaded = load(parquet(FRAME.clear()), "parquet")
    assert loaded.frame.schema == FRAME.schema
    assert loaded.ingested.warnings == ("The file has no rows",)


def test_names_are_settled(load: Load) -> None:
    loaded = load(parquet(pl.DataFrame({ROW: [1], "": [2], "b": [3]})), "parquet")
    assert loaded.frame.to_dicts() == [{"column_1": 1, "column_2": 2, "b": 3}]
    assert len(loaded.ingested.warnings) == 2


def test_compressed_outside(load: Load) -> None:
    assert load(gzip.compress(parquet(FRAME)), "parquet").frame.equals(FRAME)


def test_a_broken_file_is_bad_data_or_loads(load: Load) -> None:
    """Bytes are changed all over the file: whatever Polars does with it, nothing but our errors comes out."""
    good = parquet(FRAME.select("id", "x", "word"), 500)
    rng = random.Random(7)
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(60):
        broken = bytearray(good)
        start = rng.choice((0, len(good) - 1500)) if rng.random() < 0.7 else 0
        for _ in range(rng.choice((1, 3, 20))):
            broken[rng.randrange(start, len(broken))] = rng.randrange(256)
        try:
            load(bytes(broken), "parquet", limits=Limits(part_rows=1000))
            outcomes["loaded"] += 1
        except InputError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 10


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_bad_data(load: Load, keep: float) -> None:
    data = parquet(FRAME)
    with pytest.raises(BadData, match="truncated"):
        load(data[: int(len(data) * keep)], "parquet")


@pytest.mark.parametrize("columns", [1, 7, 500, 2000, 10_000])
def test_the_footer_of_a_part_stays_small(columns: int) -> None:
    """A page reads the footers of the parts that it touches, and a look at a few columns reads all of them."""
    rows = Limits().rows_of_part(columns)
    groups = -(-rows // row_group_rows(columns))
    assert groups * columns * FOOTER_BYTES_PER_CHUNK < MAX_FOOTER_BYTES / 3
    assert groups * columns <= max(columns, Limits().part_chunks)
    assert rows in (1_000_000, groups * row_group_rows(columns)) or rows * columns > 0.9 * Limits().part_cells


@pytest.mark.parametrize("declared", ["parquet", "csv", "ndjson"])
def test_parts_of_a_wide_table_have_fewer_rows(load: Load, declared: str) -> None:
    frame = pl.DataFrame({f"c{place}": range(100) for place in range(50)})
    text = frame.write_csv() if declared == "csv" else frame.write_ndjson()
    data = parquet(frame) if declared == "parquet" else text.encode()
    loaded = load(data, declared, limits=Limits(part_cells=50 * 30))
    assert loaded.frame.equals(frame)
    assert [name for name in loaded.names if name.startswith("part-")] == [f"part-{n:05d}.parquet" for n in range(4)]


class Refusing:
    """An Output whose store fails."""

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        raise pl.exceptions.ComputeError(f"{name}: no space for {form}")

    def document(self, name: str, content: bytes, media_type: str) -> None:
        raise AssertionError(name)


def test_a_failing_output_is_not_blamed_on_the_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = ParquetTable(tmp_path_factory.mktemp("scratch"), Limits())
    table.store(iter([parquet(FRAME)]))
    with pytest.raises(InternalError):
        table.write_parts(Refusing(), lambda _: None)
