"""The thread that computes writes and reads objects as files: complete, counted, repeatable, and gone on failure."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from gristmill.domain.manifest import JSON, PARQUET, StoredFile
from gristmill.domain.output import UNKNOWN, Extent, Output, OutputFormat
from gristmill.errors import NotFound, StoreUnavailable
from gristmill.objects import ObjectOutput, ObjectSource, ObjectStore, classify, scan
from gristmill.objects.compute import HELD_BYTES
from gristmill.objects.small import SmallObjects
from gristmill.settings import MIB, Settings
from gristmill.writing import extent_of, row_group_rows, with_counted
from tests.proxy import FaultProxy

ROWS = 700_000
READERS: dict[OutputFormat, Callable[[bytes], pl.DataFrame]] = {
    OutputFormat.PARQUET: pl.read_parquet,
    OutputFormat.CSV: pl.read_csv,
    OutputFormat.NDJSON: pl.read_ndjson,
    OutputFormat.ARROW: pl.read_ipc,
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "n": np.arange(ROWS),
            "x": rng.normal(size=ROWS),
            "y": rng.normal(size=ROWS),
            "t": [f"row {number}" for number in range(ROWS)],
        }
    ).with_columns(pl.when(pl.col("n") % 5 == 0).then(None).otherwise(pl.col("x")).alias("x"))


async def left(store: ObjectStore, bucket: str, prefix: str) -> list[str]:
    objects = [key async for key in store.list_keys(bucket, prefix)]
    return objects + [upload.upload_id async for upload in store.list_uploads(bucket, prefix)]


async def test_small_documents_are_held_by_the_manifest_until_they_are_settled(
    store: ObjectStore, bucket: str, prefix: str
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix, hold=True)
    text = '{"name": "Łódź \\u0000"}'.encode()
    contents = {"least.json": b"{}", "most.json": b'"' + b"x" * (HELD_BYTES - 2) + b'"', "text.json": text}
    for name, content in contents.items():
        await asyncio.to_thread(output.document, name, content, JSON)
    await asyncio.to_thread(output.document, "large.json", b"x" * (HELD_BYTES + 1), JSON)
    await asyncio.to_thread(output.document, "other.bin", b"{}", "application/octet-stream")
    assert await left(store, bucket, prefix) == [f"{prefix}large.json", f"{prefix}other.bin"]
    files = await asyncio.to_thread(output.finish)
    assert [file.name for file in files if file.content is not None] == list(contents)
    await store.settle(bucket, files)
    for file in files:
        content = await store.read(bucket, file.key)
        assert content == contents.get(file.name, content)
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


async def test_a_table_comes_back_as_it_was(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    as_output: Output = output
    rows = await asyncio.to_thread(as_output.table, "part-00000.parquet", frame.lazy())
    await asyncio.to_thread(as_output.table, "part-00001.parquet", frame.lazy().filter(pl.col("n") < 10))
    await asyncio.to_thread(as_output.document, "report.json", b"{}", JSON)
    files = await asyncio.to_thread(output.finish)
    first, second, report = files
    assert (rows, first.rows, second.rows, report.rows) == (ROWS, ROWS, 10, None)
    assert [file.key for file in files] == [prefix + file.name for file in files]
    assert (first.media_type, report.media_type) == (PARQUET, JSON)
    content = b"".join([chunk async for chunk in store.stream(bucket, first.key)])
    assert (first.size_bytes, first.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert first.size_bytes > 6 * MIB  # it took several parts
    parts = [scan(settings, bucket, file) for file in (first, second)]
    whole, head = await asyncio.to_thread(pl.collect_all, parts)
    assert_frame_equal(whole, frame)
    assert_frame_equal(head, frame.head(10))


@pytest.mark.parametrize("form", OutputFormat)
async def test_the_same_frame_gives_the_same_bytes_in_every_format(
    store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame, form: OutputFormat
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    query = frame.lazy().filter(pl.col("x") > 0).with_columns(z=pl.col("y") * 2)
    rows = [await asyncio.to_thread(output.table, name, query, form) for name in ("a", "b", "c")]
    files = await asyncio.to_thread(output.finish)
    assert len({file.sha256 for file in files}) == 1
    assert {file.media_type for file in files} == {form.media_type}
    assert {file.rows for file in files} == set(rows)
    content = b"".join([chunk async for chunk in store.stream(bucket, files[0].key)])
    assert files[0].size_bytes == len(content)
    assert READERS[form](content).equals(query.collect())


async def test_an_empty_table_keeps_its_columns(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    assert await asyncio.to_thread(output.table, "empty", frame.lazy().filter(pl.col("n") < 0)) == 0
    files = await asyncio.to_thread(output.finish)
    (back,) = await asyncio.to_thread(pl.collect_all, [scan(settings, bucket, file) for file in files])
    assert back.schema == frame.schema


async def test_a_query_that_fails_leaves_nothing(
    store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame
) -> None:
    def fail(morsel: pl.DataFrame) -> pl.DataFrame:
        if morsel["n"].max() == ROWS - 1:
            raise LookupError("the last morsel")
        return morsel

    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    with pytest.raises((LookupError, pl.exceptions.ComputeError)):
        await asyncio.to_thread(output.table, "it", frame.lazy().map_batches(fail, streamable=True))
    files = await asyncio.to_thread(output.finish)
    assert files == ()
    assert await left(store, bucket, prefix) == []


@pytest.fixture
def megabytes() -> pl.LazyFrame:
    """Too much for one call, too little for a part: all of it is sent at the end."""
    return pl.LazyFrame({"n": np.random.default_rng(3).random(300_000)})


async def test_the_end_of_a_table_is_waited_for_by_the_next_file(
    *, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str, megabytes: pl.LazyFrame
) -> None:
    output = ObjectOutput(shaky, asyncio.get_running_loop(), bucket, prefix)
    await asyncio.to_thread(output.table, "first", megabytes)
    await asyncio.to_thread(output.finish)
    await proxy.refuse()
    await asyncio.to_thread(output.table, "second", megabytes)
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(output.document, "report.json", b"{}", JSON)
    await asyncio.to_thread(output.table, "third", megabytes)
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(output.__exit__, None, None, None)
    proxy.reset()
    assert [file.name for file in await asyncio.to_thread(output.finish)] == ["first"]


async def test_nothing_is_on_its_way_when_an_attempt_is_over(
    store: ObjectStore, bucket: str, prefix: str, megabytes: pl.LazyFrame
) -> None:
    def attempt(loop: asyncio.AbstractEventLoop) -> None:
        with ObjectOutput(store, loop, bucket, prefix) as output:
            output.table("it", megabytes)
            raise LookupError("after the table")

    with pytest.raises(LookupError):
        await asyncio.to_thread(attempt, asyncio.get_running_loop())
    assert await left(store, bucket, prefix) == [f"{prefix}it"]


@pytest.mark.parametrize("fault", ["freeze", "refuse"])
async def test_a_store_lost_while_writing_is_unavailable(
    *, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str, frame: pl.DataFrame, fault: str
) -> None:
    loop = asyncio.get_running_loop()

    async def lose() -> None:
        await proxy.refuse() if fault == "refuse" else proxy.freeze()

    def losing(morsel: pl.DataFrame) -> pl.DataFrame:
        asyncio.run_coroutine_threadsafe(lose(), loop).result()
        return morsel

    output = ObjectOutput(shaky, loop, bucket, prefix)
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(output.table, "it", frame.lazy().map_batches(losing, streamable=True))
    proxy.reset()
    proxy.thaw()
    files = await asyncio.to_thread(output.finish)
    assert files == ()


async def test_a_source_reads_as_a_file(store: ObjectStore, bucket: str, prefix: str) -> None:
    content = hashlib.shake_256(b"source").digest(9 * MIB + 17)
    stored = await store.put(bucket, prefix + "it", content, "text/csv")
    loop = asyncio.get_running_loop()

    def read() -> tuple[bytes, bytes, int]:
        with ObjectSource(store, loop, bucket, prefix + "it", sha256=stored.sha256) as source:
            buffered = io.BufferedReader(source, 64 * 1024)
            head = buffered.read(10)
            rest = buffered.read()
            return head, rest, source.bytes_read

    head, rest, size = await asyncio.to_thread(read)
    assert head + rest == content
    assert size == len(content)


async def test_a_source_closed_early_leaves_no_task(store: ObjectStore, bucket: str, prefix: str) -> None:
    await store.put(bucket, prefix + "it", bytes(9 * MIB), "text/csv")
    loop = asyncio.get_running_loop()

    def read() -> None:
        source = ObjectSource(store, loop, bucket, prefix + "it")
        assert source.read(3) == b"\0\0\0"
        source.close()
        source.close()
        with pytest.raises(ValueError, match="closed"):
            source.read(1)

    await asyncio.to_thread(read)
    assert not any(task.get_name() == "prefetch" for task in asyncio.all_tasks())


async def test_a_source_tells_what_is_wrong(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", bytes(9 * MIB), "text/csv")
    loop = asyncio.get_running_loop()

    def read(key: str) -> bytes:
        with ObjectSource(shaky, loop, bucket, key) as source:
            return source.read()

    with pytest.raises(NotFound):
        await asyncio.to_thread(read, prefix + "nothing")
    proxy.cut_answers(MIB, *[1] * 100)
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(read, prefix + "it")
    proxy.cut_answers(MIB)
    assert len(await asyncio.to_thread(read, prefix + "it")) == 9 * MIB


async def test_a_scan_of_what_is_not_there_is_not_found(
    settings: Settings, store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    await asyncio.to_thread(output.table, "it", frame.lazy().head(10))
    files = await asyncio.to_thread(output.finish)
    await store.delete(bucket, [files[0].key])
    assert isinstance(await failure(scan(settings, bucket, files[0]).collect), NotFound)


@pytest.mark.parametrize("fault", ["freeze", "refuse"])
async def test_a_scan_of_a_lost_store_is_unavailable(
    *,
    through_proxy: Settings,
    proxy: FaultProxy,
    store: ObjectStore,
    bucket: str,
    prefix: str,
    frame: pl.DataFrame,
    fault: str,
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    await asyncio.to_thread(output.table, "it", frame.lazy())
    if fault == "freeze":
        proxy.freeze()
    else:
        await proxy.refuse()
    files = await asyncio.to_thread(output.finish)
    told = await failure(scan(through_proxy, bucket, files[0]).collect)
    assert isinstance(told, StoreUnavailable)
    assert prefix not in str(told)


async def test_a_scan_survives_cut_bodies(
    *, through_proxy: Settings, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str, frame: pl.DataFrame
) -> None:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix)
    await asyncio.to_thread(output.table, "it", frame.lazy())
    proxy.cut_answers(200_000)
    files = await asyncio.to_thread(output.finish)
    back = await asyncio.to_thread(scan(through_proxy, bucket, files[0]).collect)
    assert proxy.cuts == 1
    assert_frame_equal(back, frame)


async def failure(work: Callable[[], object]) -> BaseException:
    """What the work raises in a thread, told in ours."""
    try:
        await asyncio.to_thread(work)
    except (OSError, pl.exceptions.PolarsError) as error:
        return classify(error)
    raise AssertionError("it did not fail")


async def enter(context: AbstractAsyncContextManager[ObjectStore]) -> ObjectStore:
    return await context.__aenter__()


async def leave(context: AbstractAsyncContextManager[ObjectStore]) -> None:
    await context.__aexit__(None, None, None)


def test_a_loop_in_another_thread_serves_the_main_thread(
    settings: Settings,
    other_loop: asyncio.AbstractEventLoop,
    bucket: str,
    prefix: str,
    frame: pl.DataFrame,
    tmp_path: Path,
) -> None:
    """As in an executor process: the main thread computes and blocks, a background loop speaks S3."""

    context = ObjectStore.open(settings)
    store = asyncio.run_coroutine_threadsafe(enter(context), other_loop).result()
    output = ObjectOutput(store, other_loop, bucket, prefix)
    assert output.table("it", frame.lazy(), copy=tmp_path / "copy") == ROWS
    assert output.table("small", frame.lazy().head(10), copy=tmp_path / "small") == 10
    for name, whole in (("copy", frame), ("small", frame.head(10))):  # there as soon as it is written
        assert_frame_equal(pl.read_parquet(tmp_path / name), whole)
    files = output.finish()
    with ObjectSource(store, other_loop, bucket, files[0].key, sha256=files[0].sha256) as source:
        stored = source.read()
    assert_frame_equal(pl.read_parquet(io.BytesIO(stored)), frame)
    assert (tmp_path / "copy").read_bytes() == stored
    asyncio.run_coroutine_threadsafe(leave(context), other_loop).result()


def test_small_objects_are_whole_checked_and_told_in_ours(settings: Settings, prefix: str) -> None:
    small = SmallObjects(settings)
    bucket, key = settings.s3_job_results_bucket, prefix + "it"
    stored = small.put(bucket, key, b"content", JSON)
    assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
    assert small.get(bucket, key, sha256=stored.sha256) == b"content"
    with pytest.raises(StoreUnavailable, match="other bytes"):
        small.get(bucket, key, sha256="0" * 64)
    with pytest.raises(NotFound):
        small.get(bucket, prefix + "nothing", sha256=stored.sha256)
    refused = SmallObjects(settings.model_copy(update={"s3_secret_access_key": SecretStr("wrong")}))
    with pytest.raises(StoreUnavailable, match="refuses"):
        refused.put(bucket, key, b"", JSON)


@pytest.mark.parametrize("fault", ["freeze", "refuse"])
async def test_small_objects_of_a_lost_store_are_unavailable(
    *, through_proxy: Settings, proxy: FaultProxy, bucket: str, prefix: str, fault: str
) -> None:
    shaky = SmallObjects(through_proxy)
    if fault == "freeze":
        proxy.freeze()
    else:
        await proxy.refuse()
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(shaky.put, bucket, prefix + "it", b"content", JSON)
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(shaky.get, bucket, prefix + "it", sha256="0" * 64)


def test_a_proxy_of_the_environment_is_not_between_us_and_loopback(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, bucket: str, prefix: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    content = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(content)
    stored = SmallObjects(settings).put(bucket, prefix + "it", content.getvalue(), PARQUET)
    file = StoredFile(stored.key, "it", PARQUET, stored.size_bytes, stored.sha256, 1)
    assert scan(settings, bucket, file).collect().rows() == [(1,)]


@pytest.mark.parametrize(("columns", "rows"), [(1, 122_880), (17, 122_880), (1_000, 2_097), (10_000, 512)])
def test_a_row_group_is_bounded_by_cells(columns: int, rows: int) -> None:
    assert row_group_rows(columns) == rows


@pytest.mark.parametrize(
    ("columns", "extent", "rows"),
    [
        (3, Extent(1_000_000, 3_000_000 * 20), 122_880),
        (3, Extent(200_000, 600_000 * 1040), 2_688),
        (500, Extent(40_000, 20_000_000 * 28), 2_441),
        (1, Extent(10, 10 * 2**25), 1),
    ],
)
def test_a_row_group_is_bounded_by_what_its_texts_take(columns: int, extent: Extent, rows: int) -> None:
    """Of many columns a file has a bounded number of chunks all the same."""
    assert row_group_rows(columns, extent) == rows


def test_texts_are_counted_as_they_pass() -> None:
    frame = pl.DataFrame({"n": range(300), "t": ["a" * 1000] * 300, "^b$": [b"xyz"] * 300}).lazy()
    counted, counts = with_counted(frame)
    counted.collect(engine="streaming")
    assert (counts.rows, counts.text_bytes) == extent_of(frame) == (300, 300 * (1000 + 3 + 2 * 16))
    assert extent_of(frame.select("n")) == UNKNOWN
