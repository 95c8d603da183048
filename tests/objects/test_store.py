"""Every call of the store ends in time, reads survive cut bodies, and a download URL gives one file and no more."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from pydantic import AnyHttpUrl, SecretStr

from gristmill.embedded import Endpoints
from gristmill.errors import NotFound, StoreUnavailable, TooLarge
from gristmill.objects import ObjectStore
from gristmill.settings import MIB, Settings
from tests.proxy import FaultProxy

CONTENT = hashlib.shake_256(b"content").digest(5 * MIB)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MEDIA_TYPE = "application/octet-stream"


async def received(store: ObjectStore, bucket: str, key: str, **options: int | str) -> bytes:
    return b"".join([chunk async for chunk in store.stream(bucket, key, **options)])  # type: ignore[arg-type]


async def test_a_stream_comes_in_chunks_of_the_size_asked_for(store: ObjectStore, bucket: str, prefix: str) -> None:
    await store.put(bucket, prefix + "it", CONTENT[:2_500_000], MEDIA_TYPE)
    sizes = [len(chunk) async for chunk in store.stream(bucket, prefix + "it", chunk_size=1_000_000)]
    assert sizes == [1_000_000, 1_000_000, 500_000]


async def test_a_cut_body_goes_on_where_it_broke(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    proxy.cut_answers(100_000, 2 * MIB, 500, 1_500_000)
    assert await received(shaky, bucket, prefix + "it", sha256=SHA256) == CONTENT
    assert proxy.cuts == 4


async def test_a_body_that_is_always_cut_at_once_is_given_up(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    proxy.cut_answers(100_000, *[1] * 100)
    with pytest.raises(StoreUnavailable):
        await received(shaky, bucket, prefix + "it")


async def test_an_object_replaced_under_a_stream_is_no_mixture(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    proxy.cut_answers(3 * MIB)
    chunks = shaky.stream(bucket, prefix + "it")
    await anext(chunks)
    await store.put(bucket, prefix + "it", CONTENT[::-1], MEDIA_TYPE)
    with pytest.raises(StoreUnavailable, match="changed"):
        async for _ in chunks:
            pass


async def test_other_bytes_than_were_stored_are_refused(store: ObjectStore, bucket: str, prefix: str) -> None:
    await store.put(bucket, prefix + "it", b"abc", MEDIA_TYPE)
    with pytest.raises(StoreUnavailable, match="other bytes"):
        await received(store, bucket, prefix + "it", sha256=SHA256)


async def test_a_stream_left_early_leaves_the_store_usable(store: ObjectStore, bucket: str, prefix: str) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    for _ in range(40):  # more than the pool has connections
        chunks = store.stream(bucket, prefix + "it", chunk_size=1000)
        assert await anext(chunks) == CONTENT[:1000]
        await chunks.aclose()
    assert await received(store, bucket, prefix + "it") == CONTENT


async def test_read_has_a_cap(store: ObjectStore, bucket: str, prefix: str) -> None:
    await store.put(bucket, prefix + "it", b"abcd", MEDIA_TYPE)
    assert await store.read(bucket, prefix + "it", max_bytes=4) == b"abcd"
    with pytest.raises(TooLarge):
        await store.read(bucket, prefix + "it", max_bytes=3)


async def test_what_is_not_there_is_not_found(store: ObjectStore, bucket: str, prefix: str) -> None:
    key = prefix + "nothing"
    for attempt in (store.head(bucket, key), store.read(bucket, key), received(store, bucket, key)):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert key not in str(caught.value)
    await store.delete(bucket, [key])
    await store.abort_upload(bucket, key, "0" * 40)


@pytest.mark.parametrize("fault", ["freeze", "refuse"])
async def test_a_store_that_is_down_is_unavailable_until_it_is_back(
    shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str, fault: str
) -> None:
    key = prefix + "it"
    await shaky.put(bucket, key, b"abc", MEDIA_TYPE)
    if fault == "freeze":
        proxy.freeze()
    else:
        await proxy.refuse()
    attempts = (
        shaky.probe(),
        shaky.put(bucket, prefix + "other", b"abc", MEDIA_TYPE),
        shaky.read(bucket, key),
        shaky.head(bucket, key),
        shaky.delete(bucket, [key]),
        shaky.delete_prefix(bucket, prefix),
        shaky.abort_uploads(bucket, prefix),
        shaky.ensure_buckets(),
    )
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(outcome, StoreUnavailable)
        assert prefix not in str(outcome)
    if fault == "freeze":
        proxy.reset()
        proxy.thaw()
    else:
        await proxy.accept()
    await shaky.probe()
    assert await shaky.read(bucket, key) == b"abc"


async def test_frozen_in_the_middle_of_a_stream_is_unavailable(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    chunks = shaky.stream(bucket, prefix + "it", chunk_size=1000)
    await anext(chunks)
    proxy.freeze()
    with pytest.raises(StoreUnavailable, match="in time"):
        async for _ in chunks:
            pass


async def test_a_slow_call_does_not_break_the_others(
    shaky: ObjectStore, proxy: FaultProxy, store: ObjectStore, bucket: str, prefix: str
) -> None:
    await store.put(bucket, prefix + "it", CONTENT, MEDIA_TYPE)
    chunks = shaky.stream(bucket, prefix + "it", chunk_size=1000)
    await anext(chunks)
    proxy.freeze()
    with pytest.raises(StoreUnavailable):
        await shaky._s3.call(lambda s3: s3.head_object(Bucket=bucket, Key=prefix + "it"), deadline_s=0.2)
    proxy.thaw()
    rest = b"".join([chunk async for chunk in chunks])
    assert rest == CONTENT[1000:]


async def test_dead_connections_cost_one_deadline_not_one_each(
    shaky: ObjectStore, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    await shaky.put(bucket, prefix + "it", b"abc", MEDIA_TYPE)
    await asyncio.gather(*(shaky.head(bucket, prefix + "it") for _ in range(8)))
    proxy.strand()
    with pytest.raises(StoreUnavailable, match="in time"):
        await shaky.head(bucket, prefix + "it")
    assert (await shaky.head(bucket, prefix + "it")).size_bytes == 3


async def test_more_than_a_thousand_objects_are_deleted(store: ObjectStore, bucket: str, prefix: str) -> None:
    gate = asyncio.Semaphore(24)

    async def put(number: int) -> None:
        async with gate:
            await store.put(bucket, f"{prefix}{number:05d}", b"", MEDIA_TYPE)

    await asyncio.gather(*(put(number) for number in range(1_050)))
    neighbour = prefix.removesuffix("1/") + "10/it"
    await store.put(bucket, neighbour, b"", MEDIA_TYPE)
    listed = [key async for key in store.list_keys(bucket, prefix)]
    assert listed == [f"{prefix}{number:05d}" for number in range(1_050)]
    assert await store.delete_prefix(bucket, prefix) == 1_050
    assert [key async for key in store.list_keys(bucket, prefix)] == []
    assert (await store.head(bucket, neighbour)).size_bytes == 0
    await store.delete(bucket, [neighbour])


async def test_incomplete_uploads_are_dropped_by_prefix(store: ObjectStore, bucket: str, prefix: str) -> None:
    writers = [store.writer(bucket, prefix + name, media_type=MEDIA_TYPE) for name in ("a", "b")]
    for writer in writers:
        await writer.write(CONTENT + CONTENT)
    assert len([upload async for upload in store.list_uploads(bucket, prefix)]) == 2
    assert await store.abort_uploads(bucket, prefix) == 2
    assert [upload async for upload in store.list_uploads(bucket, prefix)] == []
    for writer in writers:
        await writer.abort()  # finds its upload gone, and is content


@pytest.mark.parametrize("prefix", ["", "/", "results", "results/1", "results//", "../", "a b/"])
async def test_only_whole_prefixes_of_ours_are_deleted(store: ObjectStore, bucket: str, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        await store.delete_prefix(bucket, prefix)
    with pytest.raises(ValueError, match="prefix"):
        await store.abort_uploads(bucket, prefix)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "a/./b", "a b", "ä", "a?b", "a\n"])
async def test_only_keys_of_ours_are_written(store: ObjectStore, bucket: str, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        store.writer(bucket, key, media_type=MEDIA_TYPE)


async def test_a_download_url_gives_the_file_under_its_name(
    settings: Settings, proxy: FaultProxy, bucket: str, prefix: str
) -> None:
    public = settings.model_copy(update={"s3_public_endpoint_url": AnyHttpUrl(proxy.url)})
    async with ObjectStore.open(public) as store:
        await store.put(bucket, prefix + "it", b"a,b\n1,2\n", "text/csv")
        url, expires_at = await store.presign_get(bucket, prefix + "it", filename='Zäh "x"/../\r\nb.csv', ttl_s=60)
    assert url.startswith(f"{proxy.url}/{bucket}/{prefix}it?")
    assert timedelta(seconds=50) < expires_at - datetime.now(UTC) <= timedelta(seconds=60)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        assert answer.status_code == 200
        assert answer.content == b"a,b\n1,2\n"
        assert answer.headers["content-type"] == "text/csv"
        assert answer.headers["content-disposition"] == (
            "attachment; filename=\"Z_h _x_.._b.csv\"; filename*=UTF-8''Z%C3%A4h%20_x_.._b.csv"
        )
        tampered = await client.get(url.replace(f"{prefix}it?", f"{prefix}other?"))
        longer = await client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
        written = await client.put(url, content=b"other")
    assert (tampered.status_code, longer.status_code, written.status_code) == (403, 403, 403)


@pytest.mark.parametrize("ttl_s", [0, -1, 901])
async def test_a_download_url_lives_a_quarter_of_an_hour_at_most(store: ObjectStore, bucket: str, ttl_s: int) -> None:
    with pytest.raises(ValueError, match="900"):
        await store.presign_get(bucket, "a/b", filename="b", ttl_s=ttl_s)


async def test_buckets_that_exist_need_no_right_to_create_them(store: ObjectStore) -> None:
    await store.ensure_buckets()
    await store.probe()


async def test_a_bucket_that_is_missing_is_named(settings: Settings) -> None:
    missing = f"missing-{uuid4().hex}"
    async with ObjectStore.open(settings.model_copy(update={"s3_datasets_bucket": missing})) as store:
        with pytest.raises(StoreUnavailable) as caught:
            await store.probe()
        with pytest.raises(StoreUnavailable):
            await store.ensure_buckets()
    assert missing in str(caught.value) or "refuses" in str(caught.value)


async def test_wrong_credentials_are_told_without_the_key(settings: Settings, bucket: str, prefix: str) -> None:
    wrong = settings.model_copy(update={"s3_secret_access_key": SecretStr("wrong")})
    async with ObjectStore.open(wrong) as store:
        with pytest.raises(StoreUnavailable, match="credentials") as caught:
            await store.put(bucket, prefix + "it", b"", MEDIA_TYPE)
    assert prefix not in str(caught.value)


async def test_a_proxy_of_the_environment_is_not_used_for_loopback(
    endpoints: Endpoints, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with ObjectStore.open(settings) as store:
        await store.probe()
