"""Promise: a digest that is known is what is signed, what is not known is worked out, and URLs are signed as ever."""

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from gristmill.objects import ObjectStore
from gristmill.objects.connection import Connection
from gristmill.objects.signing import known_content
from gristmill.settings import Settings

CONTENT = b"city,temperature\nOslo,4.5\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()
HEADER = "X-Amz-Content-SHA256"


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    opened = Connection(settings, endpoint_url=str(settings.s3_endpoint_url).rstrip("/"))
    yield opened
    await opened.close()


async def test_the_known_digest_is_what_is_signed(
    connection: Connection, store: ObjectStore, bucket: str, prefix: str
) -> None:
    sent: list[bytes] = []
    async with connection.borrow() as s3:
        s3.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.headers[HEADER]))

    async def put() -> None:
        await connection.call(lambda s3: s3.put_object(Bucket=bucket, Key=prefix + "it", Body=CONTENT))

    with known_content(OTHER):  # SeaweedFS 4.48 checks the signature over it, and not the content against it
        await put()
    await put()
    assert sent == [OTHER.encode(), SHA256.encode()], "and what is not known is worked out by the client"
    assert await store.read(bucket, prefix + "it") == CONTENT


async def test_a_url_is_signed_for_whatever_comes(store: ObjectStore, bucket: str, prefix: str) -> None:
    upload_id = await store.begin_parts(bucket, prefix + "it")
    with known_content(SHA256):
        urls, _ = await store.presign_parts(bucket, prefix + "it", upload_id, {1: 4}, ttl_s=60)
    async with httpx.AsyncClient() as client:
        (await client.put(urls[1], content=b"abcd")).raise_for_status()
