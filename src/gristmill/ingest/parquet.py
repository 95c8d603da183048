"""Parquet from outside: untrusted, checked at both ends, and written anew in parts of bounded rows."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.job import Progress
from gristmill.domain.output import Extent, OnProgress, Output
from gristmill.errors import BadData, InternalError, TooLarge
from gristmill.ingest.names import settle_names
from gristmill.ingest.options import Limits
from gristmill.ingest.profile import Parts, Profile
from gristmill.writing import extent_of

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
# Magic at the beginning; footer length (4 bytes, little-endian) and magic at the end.
FRAME_BYTES = 12
# How Polars says that it can't decode a file.
FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


class ParquetTable:
    """One Parquet file, kept in `scratch` because its footer is at its end."""

    label = "Parquet"

    def __init__(self, scratch: Path, limits: Limits) -> None:
        self._path = scratch / "original.parquet"
        self._limits = limits

    def store(self, pieces: Iterator[bytes]) -> None:
        """Keep the bytes and look at the footer. Raises BadData (truncated, corrupt), TooLarge (footer, columns)."""
        size = 0
        with self._path.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > self._limits.max_expanded_bytes:
                    limit = self._limits.max_expanded_bytes
                    raise TooLarge(f"max_expanded_bytes: the file is larger than {limit} bytes")
                file.write(piece)
        self._check_end(size)

    def _check_end(self, size: int) -> None:
        if size < FRAME_BYTES:
            raise BadData("The Parquet file is truncated")
        with self._path.open("rb") as file:
            file.seek(size - 8)
            length, magic = struct.unpack("<I4s", file.read(8))
        if magic == ENCRYPTED:
            raise BadData("The Parquet file is encrypted")
        if magic != MAGIC or length > size - FRAME_BYTES:
            raise BadData("The Parquet file is truncated or corrupt: it does not end with a footer")
        if length > self._limits.max_footer_bytes:
            raise TooLarge(f"max_footer_bytes: the footer of the Parquet file has {length} bytes")

    def scan(self) -> pl.LazyFrame:
        """The rows, lazily."""
        return pl.scan_parquet(self._path)

    def drop(self) -> None:
        """Remove what is kept."""
        self._path.unlink()

    def write_parts(self, output: Output, progress: OnProgress) -> tuple[tuple[Column, ...], Profile, list[str]]:
        """Write the rows as parts, in their order and with their types; answers columns, profile and warnings.

        Raises BadData for a file that can't be decoded, TooLarge over `max_columns`.
        """
        with decoding(self.label):
            given = self.scan().collect_schema()
            rows = int(self.scan().select(pl.len()).collect().item())
        if not given:
            raise BadData(f"The {self.label} file has no columns")
        if len(given) > self._limits.max_columns:
            raise TooLarge(
                f"max_columns: the file has {len(given)} columns, and {self._limits.max_columns} are allowed"
            )
        names, warnings = settle_names(given)
        schema = pl.Schema(dict(zip(names, given.dtypes(), strict=True)))
        parts = Parts(schema, self._path.parent, output, self._limits.memory)
        done = 0
        renamed = {old: new for old, new in zip(given, names, strict=True) if old != new}

        def seen(frame: pl.DataFrame) -> pl.DataFrame:
            nonlocal done
            done += frame.height
            progress(Progress("type", done, rows))
            return frame

        most = self._limits.rows_of_part(len(given))
        for start in range(0, max(rows, 1), most):
            part = self.scan().slice(start, most).rename(renamed)
            expected = min(most, rows - start)
            with decoding(self.label):
                extent = extent_of(part)
            self._write(part.map_batches(seen, schema=schema, streamable=True), parts, extent, expected)
        self.drop()
        return parts.columns, parts.profile(progress), warnings

    def _write(self, part: pl.LazyFrame, parts: Parts, extent: Extent, rows: int) -> None:
        name = f"The part from row {parts.rows}"
        try:
            written = parts.write(part, extent)
        except FAULTS as error:
            # Either the file can't be decoded, or the output failed: decoding alone tells.
            with decoding(self.label):
                part.select(pl.all().null_count()).collect(engine="streaming")
            if isinstance(error, OSError):
                raise
            raise InternalError(f"{name} could not be written ({type(error).__name__})") from error
        if written != rows:
            raise InternalError(f"{name} has {written} rows and not {rows}")


@contextmanager
def decoding(label: str) -> Iterator[None]:
    """What Polars says of a file that it can't decode becomes BadData."""
    try:
        yield
    except FAULTS as error:
        raise BadData(f"The {label} file is corrupt or uses what can't be read ({type(error).__name__})") from error
