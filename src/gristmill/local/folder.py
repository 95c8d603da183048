"""A folder of this machine in the place of a bucket."""

import hashlib
import shutil
from pathlib import Path

import polars as pl

from gristmill.domain.manifest import StoredFile
from gristmill.domain.output import UNKNOWN, Extent, OutputFormat
from gristmill.writing import with_counted, write_table

CHUNK_BYTES = 1024 * 1024


class Folder:
    """An `Output` of the domain whose files are in a folder, which is made where it is missing."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._files: list[StoredFile] = []

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The files in the order they were written; the key of each is its path."""
        return tuple(self._files)

    def table(
        self,
        name: str,
        frame: pl.LazyFrame,
        form: OutputFormat = OutputFormat.PARQUET,
        *,
        copy: Path | None = None,
        extent: Extent = UNKNOWN,
    ) -> int:
        """Stream a frame into the file `name`; answers its rows. With `copy`, that file becomes the same."""
        path = self.path / name
        counted, counts = with_counted(frame)
        with path.open("wb") as sink:
            write_table(counted, sink, form, extent)
        if copy is not None:
            shutil.copyfile(path, copy)
        self._note(path, form.media_type, counts.rows, text_bytes=counts.text_bytes)
        return counts.rows

    def document(self, name: str, content: bytes, media_type: str) -> None:
        path = self.path / name
        path.write_bytes(content)
        self._note(path, media_type, None)

    def _note(self, path: Path, media_type: str, rows: int | None, *, text_bytes: int = 0) -> None:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        self._files.append(
            StoredFile(
                key=str(path),
                name=path.name,
                media_type=media_type,
                size_bytes=path.stat().st_size,
                sha256=digest,
                rows=rows,
                text_bytes=text_bytes,
            )
        )
