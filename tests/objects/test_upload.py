"""An upload streams in flat memory, tells its digest, and leaves nothing when it does not finish."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import Iterator

import pytest

from gristmill.errors import NotFound, StoreUnavailable
from gristmill.objects import ObjectStore, UploadWriter
from gristmill.objects.upload import MAX_PARTS, MIN_PART_BYTES, part_bytes
from gristmill.settings import MIB, Settings
from tests.proxy import FaultProxy

MEDIA_TYPE = "application/octet-stream"


def chunks(count: int) -> Iterator[bytes]:
    """`count` MiB, no two alike."""
    block = hashlib.shake_256(b"gristmill").digest(MIB - 8)
    return (number.to_bytes(8, "big") + block for number in range(count))


async def fill(writer: UploadWriter, mebibytes: int) -> None:
    for chunk in chunks(mebibytes):
        await writer.write(chunk)


async def left(store: ObjectStore, bucket: str, prefix: str) -> list[str]:
    """Objects and incomplete uploads under a prefix."""
    objects = [key async for key in store.list_keys(bucket, prefix)]
    return objects + [upload.upload_id async for upload in store.list_uploads(bucket, prefix)]


async def test_a_big_object_goes_through_in_flat_memory(store: ObjectStore, bucket: str, prefix: str) -> None:
    expected = hashlib.sha256()
    await store.probe()  # the client itself takes memory, once
    tracemalloc.start()
    try:
        async with store.writer(bucket, prefix + "big", media_type=MEDIA_TYPE) as writer:
            for chunk in chunks(96):
                expected.update(chunk)
                await writer.write(chunk)
            stored = await writer.finish()
        received, size = hashlib.sha256(), 0
        async for chunk in store.stream(bucket, prefix + "big", sha256=stored.sha256):
            received.update(chunk)
            size += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.sha256 == expected.hexdigest() == received.hexdigest()
    assert stored.size_bytes == size == 96 * MIB
    assert stored.etag
    assert peak < 4.5 * MIN_PART_BYTES  # three parts, and the slices on their way
    assert [upload async for upload in store.list_uploads(bucket, prefix)] == []


@pytest.mark.parametrize("size", [0, 1, MIN_PART_BYTES - 1, MIN_PART_BYTES, MIN_PART_BYTES + 1])
async def test_every_size_around_a_part(store: ObjectStore, bucket: str, prefix: str, size: int) -> None:
    content = hashlib.shake_256(b"x").digest(size)
    stored = await store.put(bucket, prefix + "it", content, MEDIA_TYPE)
    assert (stored.size_bytes, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await store.read(bucket, prefix + "it") == content
    assert (await store.head(bucket, prefix + "it")).size_bytes == size


async def test_the_digest_is_known_before_the_end(store: ObjectStore, bucket: str, prefix: str) -> None:
    async with store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
        await writer.write(b"abc")
        assert writer.size_bytes == 3
        await writer.seal()
        assert writer.sha256 == hashlib.sha256(b"abc").hexdigest()
        with pytest.raises(ValueError, match="sealed"):
            await writer.write(b"more")
    assert await left(store, bucket, prefix) == []


async def test_the_upload_id_is_told_before_a_byte_is_sent(store: ObjectStore, bucket: str, prefix: str) -> None:
    told: list[str] = []

    async def tell(upload_id: str) -> None:
        told.append(upload_id)
        assert [upload.upload_id async for upload in store.list_uploads(bucket, prefix)] == [upload_id]

    async with store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE, on_upload_id=tell) as writer:
        await fill(writer, 20)
        await writer.finish()
    assert len(told) == 1


async def test_abort_leaves_nothing_and_may_be_repeated(store: ObjectStore, bucket: str, prefix: str) -> None:
    writer = store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE)
    await fill(writer, 40)
    assert len(await left(store, bucket, prefix)) == 1
    await writer.abort()
    await writer.abort()
    assert await left(store, bucket, prefix) == []
    with pytest.raises(ValueError, match="closed"):
        await writer.write(b"more")


async def test_abort_after_the_end_removes_the_object(store: ObjectStore, bucket: str, prefix: str) -> None:
    writer = store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE)
    await fill(writer, 9)
    await writer.finish()
    assert await left(store, bucket, prefix) == [prefix + "it"]
    await writer.abort()
    assert await left(store, bucket, prefix) == []


async def test_leaving_without_finish_aborts(store: ObjectStore, bucket: str, prefix: str) -> None:
    async with store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
        await fill(writer, 20)
    assert await left(store, bucket, prefix) == []


async def test_an_error_inside_aborts_and_goes_on(store: ObjectStore, bucket: str, prefix: str) -> None:
    async def upload() -> None:
        async with store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
            await fill(writer, 20)
            raise LookupError

    with pytest.raises(LookupError):
        await upload()
    assert await left(store, bucket, prefix) == []


@pytest.mark.parametrize("mebibytes", [1, 12, 40])
async def test_a_cancelled_upload_leaves_nothing(store: ObjectStore, bucket: str, prefix: str, mebibytes: int) -> None:
    written = asyncio.Event()

    async def upload() -> None:
        async with store.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
            await fill(writer, mebibytes)
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(upload())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(store, bucket, prefix) == []


async def test_cancelled_again_while_it_aborts_it_still_leaves_nothing(
    store: ObjectStore, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    written = asyncio.Event()

    async def upload() -> None:
        async with shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
            await fill(writer, 20)
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(upload())
    await written.wait()
    proxy.freeze()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    proxy.thaw()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(store, bucket, prefix) == []


async def test_cancelled_while_the_upload_is_created_it_leaves_nothing(
    store: ObjectStore, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    async def upload() -> None:
        async with shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
            await fill(writer, 20)

    proxy.freeze()
    task = asyncio.create_task(upload())
    await proxy.connected.wait()
    task.cancel()
    proxy.thaw()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(store, bucket, prefix) == []


async def test_a_cut_request_is_sent_again(
    store: ObjectStore, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    proxy.cut_requests(3 * MIB, 100_000)
    async with shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
        await fill(writer, 30)
        stored = await writer.finish()
    assert proxy.cuts == 2
    received = [chunk async for chunk in store.stream(bucket, prefix + "it", sha256=stored.sha256)]
    assert sum(map(len, received)) == 30 * MIB


async def test_a_frozen_store_is_unavailable_and_works_again_after_it(
    store: ObjectStore, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    proxy.freeze()
    writer = shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE)
    with pytest.raises(StoreUnavailable) as caught:
        await fill(writer, 40)
    assert prefix not in str(caught.value)
    proxy.thaw()
    with pytest.raises(ValueError, match="closed"):
        await writer.finish()
    await writer.abort()
    assert (await shaky.put(bucket, prefix + "other", b"abc", MEDIA_TYPE)).size_bytes == 3
    with pytest.raises(NotFound):
        await store.head(bucket, prefix + "it")


async def test_one_upload_has_two_parts_on_their_way_while_a_third_fills(
    shaky: ObjectStore, proxy: FaultProxy, settings: Settings, bucket: str, prefix: str
) -> None:
    async def stand_still(_: str) -> None:
        proxy.freeze()

    writer = shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE, on_upload_id=stand_still)
    with pytest.raises(StoreUnavailable):
        await fill(writer, 40)
    assert writer.size_bytes == 3 * part_bytes(settings.max_upload_bytes)
    proxy.reset()
    proxy.thaw()
    await writer.abort()


async def test_frozen_in_the_middle_it_fails_and_what_was_sent_is_removed(
    store: ObjectStore, shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    writer = shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE)
    await fill(writer, 20)
    proxy.freeze()
    with pytest.raises(StoreUnavailable):
        await writer.finish()
    with pytest.raises(StoreUnavailable):
        await writer.abort()
    proxy.reset()
    proxy.thaw()
    await writer.abort()
    assert await left(store, bucket, prefix) == []


async def test_a_failed_removal_is_noted_on_the_error(
    shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    async def upload() -> None:
        async with shaky.writer(bucket, prefix + "it", media_type=MEDIA_TYPE) as writer:
            await fill(writer, 9)
            await proxy.refuse()
            raise LookupError

    with pytest.raises(LookupError) as caught:
        await upload()
    assert any("could not be removed" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("limit", [1, 50 * 1024 * MIB, 80_000 * MIB, 80_000 * MIB + 1, 5 * 1024 * 1024 * MIB])
def test_ten_thousand_parts_hold_the_largest_object(limit: int) -> None:
    assert part_bytes(limit) * MAX_PARTS >= limit
    assert part_bytes(limit) >= MIN_PART_BYTES
    assert part_bytes(limit) % MIB == 0
