"""Answers are compressed for who asks for it: zstd, or gzip."""

from io import BytesIO
from typing import TYPE_CHECKING, Literal, cast

import zstandard
from litestar.config.compression import CompressionConfig
from litestar.enums import CompressionEncoding
from litestar.middleware.compression import CompressionMiddleware
from litestar.middleware.compression.facade import CompressionFacade

from gristmill.api.headers import sent

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

# Below this, a job for one, compressing costs more than it saves.
LEAST_BYTES = 2048
GZIP_LEVEL = 4
ZSTD_LEVEL = 3
# Ten thousand idle streams would keep a compressor each.
STREAMS = r"/events$"


class Zstd(CompressionFacade):
    """The framework's protocol for a compressor. What is written can be read at once, so a stream does not stall."""

    encoding = "zstd"

    def __init__(
        self,
        buffer: BytesIO,
        compression_encoding: Literal[CompressionEncoding.GZIP, CompressionEncoding.BROTLI] | str,
        config: CompressionConfig,
    ) -> None:
        del compression_encoding, config  # one encoding, nothing to set
        self._buffer = buffer
        self._writer: zstandard.ZstdCompressionWriter | None = None  # made when needed: most answers are too small

    def write(self, body: bytes) -> None:
        if self._writer is None:
            self._writer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(self._buffer, closefd=False)
        self._writer.write(body)
        self._writer.flush(zstandard.FLUSH_BLOCK)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.flush(zstandard.FLUSH_FRAME)


def compressing(app: "ASGIApp", config: CompressionConfig) -> "ASGIApp":
    """The framework's middleware, for requests that say what they accept; others pass it by."""
    whole = CompressionMiddleware(app, config)

    async def chosen(scope: "Scope", receive: "Receive", send: "Send") -> None:
        await (app if sent(scope, b"accept-encoding") is None else whole)(scope, receive, send)

    return chosen


def compression_config() -> CompressionConfig:
    return CompressionConfig(
        backend=Zstd.encoding,
        compression_facade=Zstd,
        minimum_size=LEAST_BYTES,
        gzip_compress_level=GZIP_LEVEL,
        gzip_fallback=True,
        exclude=[STREAMS],
        middleware_class=cast("type[CompressionMiddleware]", compressing),
    )
