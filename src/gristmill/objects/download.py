"""An object's bytes as a stream that survives broken connections."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from gristmill.errors import StoreUnavailable
from gristmill.objects.connection import Connection

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3 import S3Client

FRUITLESS_ATTEMPTS = 4
RESUME_BASE_S = 0.1


async def stream(
    connection: Connection, bucket: str, key: str, *, chunk_bytes: int, sha256: str | None = None
) -> AsyncGenerator[bytes]:
    """Chunks of `chunk_bytes` bytes (the last is shorter). A cut body goes on where it broke, of the same object.

    The length is verified always, the SHA-256 (hex) where given: both at the end, so a consumer must not act on
    the bytes for good before the stream ended.

    Raises:
        NotFound: there is no such object.
        StoreUnavailable: no progress over several attempts, the object changed, or its bytes are not those stored.
    """
    reader = _Reader(connection, bucket, key, chunk_bytes)
    digest = hashlib.sha256()
    patience = _Patience(connection.deadline_s)
    while True:
        try:
            async with aclosing(reader.rest()) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    yield chunk
            break
        except StoreUnavailable:
            if reader.etag is None or not patience.left(reader.offset):
                raise
        await asyncio.sleep(patience.delay_s())
    if sha256 is not None and digest.hexdigest() != sha256:
        raise StoreUnavailable("The object store gave other bytes than were stored.")


class _Patience:
    """Ends after several attempts in which nothing came, or when nothing came for the time of a deadline."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._offset = 0
        self._fruitless = 0
        self._since = asyncio.get_running_loop().time()

    def left(self, offset: int) -> bool:
        """Whether to try again, now that `offset` bytes have come in all."""
        now = asyncio.get_running_loop().time()
        if offset > self._offset:
            self._offset, self._fruitless, self._since = offset, 0, now
            return True
        self._fruitless += 1
        return self._fruitless < FRUITLESS_ATTEMPTS and now - self._since < self._deadline_s

    def delay_s(self) -> float:
        return random.uniform(0, RESUME_BASE_S * 2**self._fruitless)


class _Reader:
    """Where a stream is: the bytes received, and the ETag and size of the object it began with."""

    def __init__(self, connection: Connection, bucket: str, key: str, chunk_bytes: int) -> None:
        self._s3 = connection
        self._bucket = bucket
        self._key = key
        self._chunk_bytes = chunk_bytes
        self._pending = bytearray()
        self.offset = 0
        self.size: int | None = None
        self.etag: str | None = None

    async def rest(self) -> AsyncGenerator[bytes]:
        """Chunks of what is left, of one GET; ends only when the object's size is reached."""
        if self.offset != self.size:
            async with self._s3.borrow() as s3:
                content = await self._open(s3)
                try:
                    while await self._fill(content):
                        if len(self._pending) == self._chunk_bytes:
                            yield self._take()
                finally:
                    content.close()
        if self.offset != self.size:
            raise StoreUnavailable("The object store ended an object before its end.")
        if self._pending:
            yield self._take()

    async def _open(self, s3: "S3Client") -> "StreamingBody":
        async with asyncio.timeout(self._s3.deadline_s):
            if self.etag is None:
                answer = await s3.get_object(Bucket=self._bucket, Key=self._key)
                self.etag, self.size = answer["ETag"], answer["ContentLength"]
            else:
                answer = await s3.get_object(
                    Bucket=self._bucket, Key=self._key, Range=f"bytes={self.offset}-", IfMatch=self.etag
                )
                if not answer.get("ContentRange", "").startswith(f"bytes {self.offset}-"):
                    answer["Body"].close()
                    raise StoreUnavailable("The object store can't go on with an object from its middle.")
        return answer["Body"]

    async def _fill(self, content: "StreamingBody") -> bool:
        """Receive until a chunk is whole or the body ends; whether anything came."""
        before = self.offset
        # Half of the deadline, so that within it there is time for another connection.
        async with asyncio.timeout(self._s3.deadline_s / 2):
            while len(self._pending) < self._chunk_bytes:
                piece = await content.read(self._chunk_bytes - len(self._pending))
                if not piece:
                    break
                self._pending += piece
                self.offset += len(piece)
        return self.offset > before

    def _take(self) -> bytes:
        chunk = bytes(self._pending)
        self._pending.clear()
        return chunk
