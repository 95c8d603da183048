"""Uploads: streamed through the API, or for big ones part by part to the object store itself."""

import base64
import hashlib
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import IO, Any, Literal, TypeAlias

import msgspec

from gristmill.client.content import Content, OnSent, Source, content_of
from gristmill.client.documents import DatasetInfo, PresignedUpload, UploadPart
from gristmill.client.errors import NotFound, Unreachable, WrongBytes
from gristmill.client.exchange import KEY, Exchange, new_key
from gristmill.client.transport import Request

Format: TypeAlias = Literal["csv", "tsv", "ndjson", "json", "parquet", "arrow", "xlsx"]
Way: TypeAlias = Literal["auto", "api", "store"]

MIB = 1024 * 1024
# From this size on the API is spared the bytes.
BIG_BYTES = 256 * MIB
# The URLs of parts are asked for again after so long; they live for 15 minutes unless the server says otherwise.
URLS_S = 300.0


async def upload(
    exchange: Exchange,
    source: Source,
    *,
    name: str | None,
    data_format: str | None,
    options: Mapping[str, object] | None,
    way: Way,
    key: str | None,
    on_sent: OnSent,
) -> DatasetInfo:
    """Send what is in a source. Where a big one can't reach the store from here, it goes through the API.

    Raises:
        WrongBytes: the source has changed meanwhile.
        ValueError: it is to go to the store, and its size is not known.
        Whatever reading it raises.
    """
    with ExitStack() as stack:
        content = await exchange.transport.do(lambda: stack.enter_context(content_of(source, name)))
        sending = _Upload(exchange, content, data_format or content.format, options or {}, key or new_key(), on_sent)
        sized = bool(content.size) and content.again
        if way == "store" and not sized:
            raise ValueError("only what has a size and can be read again goes to the store by itself")
        if way == "store":
            return await sending.to_store()
        if way == "auto" and sized and (content.size or 0) >= BIG_BYTES:
            return await sending.to_store_or_api()
        return await sending.through_api()


class _Upload:
    def __init__(
        self,
        exchange: Exchange,
        content: Content,
        data_format: str | None,
        options: Mapping[str, object],
        key: str,
        on_sent: OnSent,
    ) -> None:
        self._exchange = exchange
        self._content = content
        self._format = data_format
        self._options = options
        self._key = key
        self._on_sent = on_sent

    async def through_api(self) -> DatasetInfo:
        """As the body of one request. With a key and a content that can be read again, it is sent again if need be."""
        content = self._content
        headers = {"Content-Type": "application/octet-stream", KEY: self._key}
        digest = hashlib.sha256()
        if content.again and content.size is not None:
            found = await self._exchange.transport.do(content.sha256)
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(found).decode()}:"
            headers["Content-Length"] = str(content.size)
        query: dict[str, Any] = {"name": content.name}
        if self._format is not None:
            query["format"] = self._format
        if self._options:
            query["options"] = msgspec.json.encode(self._options).decode()
        request = Request(
            method="POST",
            url="/datasets",
            query=query,
            headers=headers,
            body=lambda: content.pieces(self._on_sent, None if content.again else digest),
            again=content.again,
        )
        dataset = await self._exchange.ask(DatasetInfo, request)
        if not content.again and dataset.sha256 != digest.hexdigest():
            raise WrongBytes(f"{content.name}: what arrived is not what was sent.")
        return dataset

    async def to_store_or_api(self) -> DatasetInfo:
        try:
            return await self.to_store()
        except _StoreOutOfReach:
            # An Idempotency-Key belongs to one payload.
            self._key = new_key()
            return await self.through_api()

    async def to_store(self) -> DatasetInfo:
        """Part by part, each to a URL of its own."""
        content, exchange = self._content, self._exchange
        body = {
            "name": content.name,
            "upload": "presigned",
            "size_bytes": content.size,
            "options": self._options,
            **({"format": self._format} if self._format else {}),
        }
        upload = await exchange.post(PresignedUpload, "/datasets", body, key=self._key)
        source = await exchange.transport.do(content.open)
        try:
            etags = await self._parts(upload, source)
        except BaseException:
            await self._give_up(upload.id)
            raise
        finally:
            source.close()
        parts = [{"number": number, "etag": etag} for number, etag in etags.items()]
        finishing = Request(
            method="POST",
            url=f"/datasets/{upload.id}/complete",
            headers={"Content-Type": "application/json"},
            content=msgspec.json.encode({"parts": parts}),
            again=True,  # it answers the same dataset
        )
        return await exchange.ask(DatasetInfo, finishing)

    async def _parts(self, upload: PresignedUpload, source: IO[bytes]) -> dict[int, str]:
        etags: dict[int, str] = {}
        sent = 0
        while len(etags) < upload.parts_total:
            asked = time.monotonic()
            for part in upload.parts:
                chunk = await self._exchange.transport.do(partial(source.read, part.size_bytes))
                if len(chunk) != part.size_bytes:
                    raise WrongBytes(f"{self._content.name} has become shorter than {self._content.size} bytes.")
                etags[part.number] = await self._put(part, chunk)
                sent += len(chunk)
                self._on_sent(sent)
                if time.monotonic() - asked >= URLS_S:
                    break
            if len(etags) < upload.parts_total:
                fresh = await self._exchange.get(
                    PresignedUpload, f"/datasets/{upload.id}/upload", {"after": len(etags)}
                )
                upload = fresh
        return etags

    async def _put(self, part: UploadPart, chunk: bytes) -> str:
        request = Request(method="PUT", url=part.url, content=chunk, to_store=True, again=True)
        try:
            answer = await self._exchange.send(request)
        except Unreachable as error:
            if part.number == 1:
                raise _StoreOutOfReach(str(error)) from error
            raise
        return str(answer.headers.get("ETag", ""))

    async def _give_up(self, upload_id: str) -> None:
        """What was sent is removed at once; if that can't be said, the server gives the upload up by itself."""
        request = Request(method="DELETE", url=f"/datasets/{upload_id}/upload")
        try:
            await self._exchange.send(request)
        except (Unreachable, NotFound):
            return


class _StoreOutOfReach(Unreachable):
    """Not a single part could be sent."""
