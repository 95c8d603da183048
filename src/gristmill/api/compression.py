"""Answers are compressed for who asks for it: zstd, or gzip."""

from io import BytesIO
from typing import Literal

import zstandard
from litestar.config.compression import CompressionConfig
from litestar.enums import CompressionEncoding
from litestar.middleware.compression.facade import CompressionFacade

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
        self._writer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(buffer, closefd=False)

    def write(self, body: bytes) -> None:
        self._writer.write(body)
        self._writer.flush(zstandard.FLUSH_BLOCK)

    def close(self) -> None:
        self._writer.flush(zstandard.FLUSH_FRAME)


def compression_config() -> CompressionConfig:
    return CompressionConfig(
        backend=Zstd.encoding,
        compression_facade=Zstd,
        minimum_size=LEAST_BYTES,
        gzip_compress_level=GZIP_LEVEL,
        gzip_fallback=True,
        exclude=[STREAMS],
    )
