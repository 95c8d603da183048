"""What a worker's child process does with a job, done here with a file. Blocking; one thing at a time.

The limits are the defaults of a server's settings, except for memory: there is none but the machine's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import polars as pl

from gristmill.domain.dataset import Ingested
from gristmill.domain.manifest import KEPT_NAME, is_part
from gristmill.domain.output import OnProgress
from gristmill.domain.pointer import fault
from gristmill.errors import InvalidRequest
from gristmill.ingest.formats import FORMATS, format_word, with_format
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from gristmill.local.folder import Folder
from gristmill.processors import discover, find
from gristmill.processors.contract import decode_params
from gristmill.processors.naming import with_documents
from gristmill.processors.run import Finished, Part, run


@dataclass(frozen=True)
class Local:
    """A file that was read: what was found in it, and the folder with its parts."""

    found: Ingested
    folder: Folder

    @property
    def parts(self) -> list[Part]:
        files = [file for file in self.folder.files if is_part(file.name)]
        return [Part(partial(pl.scan_parquet, file.key), file.rows or 0, file.text_bytes) for file in files]

    @property
    def kept(self) -> bytes | None:
        """What ingest kept of the figures."""
        file = next((file for file in self.folder.files if file.name == KEPT_NAME), None)
        return None if file is None else Path(file.key).read_bytes()


def read_file(
    path: Path, *, told: str | None, options: Mapping[str, object], scratch: Path, progress: OnProgress
) -> Local:
    """Read a file as an upload is read. `told` is its format; without it, its name tells. `scratch` is kept meanwhile.

    Raises:
        UnsupportedFormat, BadData, TooLarge: the data can't be read.
        InvalidRequest: the options do not fit.
        OSError: the file can't be opened.
    """
    word = format_word(told=told, media_type="", filename=path.name)
    spill, folder = scratch / "spill", Folder(scratch / "parts")
    spill.mkdir()
    found = ingest(
        lambda: path.open("rb"),
        declared=FORMATS[word],
        size_bytes=path.stat().st_size,
        options=_checked(with_format(options, word)),
        limits=Limits(),
        scratch=spill,
        output=folder,
        progress=progress,
    )
    return Local(found, folder)


def process(kind: str, local: Local, params: Mapping[str, object], *, output: Folder, progress: OnProgress) -> Finished:
    """Run a job of a kind on what was read.

    Raises:
        UnknownKind, InvalidRequest: it does not fit; params that name other jobs or datasets are for a server.
    """
    processor = find(kind, discover())
    return run(
        processor,
        params=with_documents(decode_params(processor, msgspec.json.encode(params)), {}),
        columns=local.found.columns,
        parts=local.parts,
        output=output,
        progress=progress,
        kept=local.kept if processor.recalls() else None,
    )


def _checked(options: Mapping[str, object]) -> IngestOptions:
    try:
        return msgspec.convert(options, IngestOptions)
    except msgspec.ValidationError as error:
        where = fault(str(error), "/options")
        raise InvalidRequest("The options for reading do not fit.", errors=(where,)) from None
