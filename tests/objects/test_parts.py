"""Promise: parts that others send make one object, a URL takes what it was made for, a copy is of what was meant."""

import hashlib

import httpx
import pytest

from gristmill.errors import BadData
from gristmill.objects import ObjectStore, presigned_part_bytes
from gristmill.settings import MIB

PART = 5 * MIB


async def test_parts_sent_by_urls_become_an_object(store: ObjectStore, bucket: str, prefix: str) -> None:
    key = f"{prefix}original"
    content = [bytes([65 + n]) * size for n, size in enumerate((PART, PART, 17))]
    upload_id = await store.begin_parts(bucket, key)
    sizes = {n: len(part) for n, part in enumerate(content, start=1)}
    urls, _ = await store.presign_parts(bucket, key, upload_id, sizes, ttl_s=60)
    async with httpx.AsyncClient() as client:
        larger = await client.put(urls[3], content=content[2] + b"more")
        assert larger.status_code >= 400, "the URL is for so many bytes"
        for number in (3, 1):
            (await client.put(urls[number], content=content[number - 1])).raise_for_status()
        assert [part.number for part in await store.arrived_parts(bucket, key, upload_id) or ()] == [1, 3]
        assert [part.number for part in await store.arrived_parts(bucket, key, upload_id, limit=2) or ()] == [1]
        later = await store.arrived_parts(bucket, key, upload_id, after=1) or []
        assert [(part.number, part.size_bytes) for part in later] == [(3, 17)]
        etag = (await client.put(urls[2], content=content[1])).headers["ETag"]
    parts = await store.arrived_parts(bucket, key, upload_id) or []
    assert parts[1].etag == etag
    await store.complete_parts(bucket, key, upload_id, {part.number: part.etag for part in parts})
    assert await store.read(bucket, key) == b"".join(content)
    assert await store.arrived_parts(bucket, key, upload_id) is None
    await store.complete_parts(bucket, key, upload_id, {1: parts[0].etag})


async def test_a_copy_is_of_the_object_that_was_meant(store: ObjectStore, bucket: str, prefix: str) -> None:
    source, target = f"{prefix}a", f"{prefix}b/original"
    content = b"a,b\n" * 3_000_000
    stored = await store.put(bucket, source, content, "text/csv")
    place = {"source_bucket": bucket, "source_key": source, "bucket": bucket, "key": target}
    await store.copy(**place, etag=stored.etag, size_bytes=len(content), part_bytes=PART)
    assert hashlib.sha256(await store.read(bucket, target)).hexdigest() == stored.sha256
    await store.delete(bucket, [target])
    await store.put(bucket, source, content[::-1], "text/csv")
    with pytest.raises(BadData):
        await store.copy(**place, etag=stored.etag, size_bytes=len(content), part_bytes=PART)
    await store.delete(bucket, [source])
    with pytest.raises(BadData):
        await store.copy(**place, etag=stored.etag, size_bytes=len(content), part_bytes=PART)
    assert [key async for key in store.list_keys(bucket, f"{prefix}b/")] == []
    assert [one async for one in store.list_uploads(bucket, f"{prefix}b/")] == []


def test_parts_are_few_enough_for_any_size() -> None:
    for size in (1, 16 * MIB + 1, 160_000 * MIB, 160_000 * MIB + 1, 5_000_000 * MIB):
        part = presigned_part_bytes(size)
        assert part >= 16 * MIB
        assert -(-size // part) <= 10_000
