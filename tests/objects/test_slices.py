"""Promise: a page reads the rows it shows, and of the files only those that hold them."""

import asyncio
import re
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gristmill.domain.manifest import PARQUET, StoredFile, part_name
from gristmill.errors import NotFound, StoreUnavailable, TooLarge
from gristmill.objects import ObjectOutput, ObjectStore, read_matching, read_rows
from gristmill.objects.slices import FIRST_ROWS, slices
from gristmill.settings import MIB, Settings
from tests.proxy import FaultProxy


def file(name: str, rows: int, size_bytes: int = 1000) -> StoredFile:
    return StoredFile(f"results/x/1/{name}", name, PARQUET, size_bytes, "0" * 64, rows)


def page(settings: Settings, bucket: str, files: Any, **more: Any) -> pl.DataFrame:
    given = {"columns": ["n"], "width": 1, "first_row": 0, "rows": 500, "max_bytes": 4 * MIB, **more}
    return read_rows(settings, bucket, files, **given)


async def stored(store: ObjectStore, bucket: str, prefix: str, *frames: pl.DataFrame) -> tuple[StoredFile, ...]:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    for ordinal, frame in enumerate(frames):
        await asyncio.to_thread(output.table, part_name(ordinal), frame.lazy())
    return await asyncio.to_thread(output.finish)


def test_slices_cover_the_rows_asked_for_and_nothing_else() -> None:
    files = [file(f"{rows}", rows) for rows in (3, 0, 4, 2)]
    told = [(part.file.name, part.first, part.rows) for part in slices(files, first_row=2, rows=5)]
    assert told == [("3", 2, 1), ("4", 0, 4)]
    assert slices(files, first_row=9, rows=5) == []
    for size in range(1, 10):
        found = [
            (part.file.name, part.first + row)
            for first in range(0, 9, size)
            for part in slices(files, first_row=first, rows=size)
            for row in range(part.rows)
        ]
        assert found == [(name, row) for name in ("3", "4", "2") for row in range(int(name))], size


async def test_a_page_in_the_last_part_reads_no_other_part(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str, proxy: FaultProxy, through_proxy: Settings
) -> None:
    whole = pl.DataFrame({"n": range(600_000)}).with_columns(x=pl.col("n").hash().cast(pl.Float64))
    files = await stored(store, bucket, prefix, *(whole.slice(part * 200_000, 200_000) for part in range(3)))
    proxy.record()
    found = await asyncio.to_thread(
        page, through_proxy, bucket, files, first_row=599_990, rows=20, columns=["x", "n"], width=2
    )
    assert_frame_equal(found, whole.slice(599_990).select("x", "n"))
    assert proxy.asked is not None
    touched = set(re.findall(rb"part-\d+", proxy.asked))
    assert touched == {b"part-00002"}
    # The footer and one row group of two, each column once.
    assert proxy.answered_bytes < files[2].size_bytes * 0.6, (proxy.answered_bytes, files[2].size_bytes)
    assert len(re.findall(rb"(?:GET|HEAD) /", proxy.asked)) <= 6, proxy.asked


async def test_a_page_ends_early_where_rows_are_large_and_no_row_is_lost(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str
) -> None:
    texts = [f"{number:04d}" * (1 if number < 80 else 25_000) for number in range(300)]
    files = await stored(store, bucket, prefix, *(pl.DataFrame({"n": texts[at : at + 100]}) for at in (0, 100, 200)))
    found: list[str] = []
    heights = []
    while len(found) < len(texts):
        frame = await asyncio.to_thread(page, settings, bucket, files, first_row=len(found), max_bytes=1_000_000)
        assert frame.height >= 1
        assert frame.height == 1 or frame.estimated_size() <= 1_000_000
        heights.append(frame.height)
        found += frame["n"].to_list()
    assert found == texts
    assert heights[0] > FIRST_ROWS
    assert max(heights[1:]) <= 6 + 10  # the last small ones, and as many large ones as fit


async def test_a_table_without_rows_has_its_columns(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str
) -> None:
    (only,) = await stored(store, bucket, prefix, pl.DataFrame(schema={"n": pl.Date}))
    assert_frame_equal(await asyncio.to_thread(page, settings, bucket, [only]), pl.DataFrame(schema={"n": pl.Date}))


async def test_matching_rows_come_in_pages_too(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str
) -> None:
    frame = pl.DataFrame({"k": ["a", "b", "b", "a", "b"], "n": [0, 1, 2, 3, 4]})
    (only,) = await stored(store, bucket, prefix, frame)
    found: list[Any] = []
    first: int | None = 0
    while first is not None:
        given: dict[str, Any] = {"columns": ["n", "k"], "matching": ("k", "b"), "rows": 1, "max_bytes": MIB}
        rows, first = await asyncio.to_thread(read_matching, settings, bucket, only, first_row=first, **given)
        found += rows.rows()
    assert found == [(1, "b"), (2, "b"), (4, "b")]


async def test_what_would_take_too_much_memory_is_refused(settings: Settings, bucket: str) -> None:
    wide: dict[str, Any] = {"columns": ["n"], "width": 10_000}
    with pytest.raises(TooLarge):
        page(settings, bucket, [file("p", 1_000_000)], **wide)
    with pytest.raises(TooLarge):
        page(settings, bucket, [file("p", 100_000, size_bytes=300 * MIB)])


async def test_errors_are_ours(settings: Settings, bucket: str, proxy: FaultProxy, through_proxy: Settings) -> None:
    with pytest.raises(NotFound):
        await asyncio.to_thread(page, settings, bucket, [file("part-00000.parquet", 5)])
    await proxy.refuse()
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(page, through_proxy, bucket, [file("part-00000.parquet", 5)])
