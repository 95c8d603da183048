"""The formats of data, and how one is told: by its name, a media type, or the ending of a file's name."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from gristmill.domain.dataset import DataFormat
from gristmill.errors import Fault, UnsupportedFormat

TAB = "tsv"
FORMATS = {
    "csv": DataFormat.CSV,
    TAB: DataFormat.CSV,
    "ndjson": DataFormat.NDJSON,
    "jsonl": DataFormat.NDJSON,
    "json": DataFormat.JSON,
    "parquet": DataFormat.PARQUET,
    "arrow": DataFormat.ARROW,
    "arrows": DataFormat.ARROW,
    "feather": DataFormat.ARROW,
    "xlsx": DataFormat.XLSX,
}
MEDIA_TYPES = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": TAB,
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
# Types that say nothing of the format: the file's name decides.
UNTOLD = frozenset(
    {
        "",
        "application/octet-stream",
        "application/gzip",
        "application/x-gzip",
        "application/zstd",
        "application/vnd.ms-excel",  # what a browser on Windows calls a CSV file
        "application/x-www-form-urlencoded",  # what curl --data-binary says when it is told nothing
        "text/plain",
    }
)
COMPRESSED = frozenset({".gz", ".gzip", ".zst"})
ACCEPTED = (
    f"Say it with format={', '.join(FORMATS)}; with Content-Type ({', '.join(MEDIA_TYPES)}); "
    f"or with a file name that ends in {', '.join(f'.{word}' for word in FORMATS)}, and .gz or .zst after it."
)


def format_word(*, told: str | None, media_type: str, filename: str) -> str:
    """The name of the format: as told, else by media type, else by the file name's ending. Raises UnsupportedFormat."""
    if told:
        if told.lower() in FORMATS:
            return told.lower()
        raise UnsupportedFormat(f"There is no such format. {ACCEPTED}", errors=(Fault("/format", "Not one of ours."),))
    if media_type in MEDIA_TYPES:
        return MEDIA_TYPES[media_type]
    endings = [ending.lower() for ending in PurePosixPath(filename).suffixes]
    while endings and endings[-1] in COMPRESSED:
        endings.pop()
    ending = endings[-1].removeprefix(".") if endings else ""
    if media_type in UNTOLD and ending in FORMATS:
        return ending
    raise UnsupportedFormat(f"The format can't be told. {ACCEPTED}")


def with_format(options: Mapping[str, object], word: str) -> dict[str, object]:
    """Options for reading, with the tab where the format's name says so."""
    return {"delimiter": "\t", **options} if word == TAB else dict(options)
