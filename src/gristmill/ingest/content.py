"""What the bytes are, told from their beginning, against what they were declared to be."""

import msgspec

from gristmill.domain.dataset import DataFormat
from gristmill.errors import BadData, UnsupportedFormat
from gristmill.ingest.encoding import BOMS, guess_wide

MAGICS = (
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"ARROW1", "an Arrow IPC file"),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x7fELF", "a program"),
    (b"\x1f\x8b", "gzip data inside the compression"),
    (b"\x28\xb5\x2f\xfd", "zstd data inside the compression"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
)
BINARY = {
    DataFormat.PARQUET: ("a Parquet file",),
    DataFormat.ARROW: ("an Arrow IPC file", "an Arrow IPC stream"),
    DataFormat.XLSX: ("a ZIP archive or an Excel workbook",),
}
# "ORC" and "BZh" may well begin a text file.
TEXT_LIKE = (b"ORC", b"BZh", b"GIF8")
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
MAX_CONTROL_SHARE = 0.02
MAX_NUL_SHARE = 0.001
MAX_NULS = 3
"""Of a short text, a few are more than its share."""


def check_declared(declared: DataFormat, sample: bytes) -> None:
    """Compare the beginning of the expanded bytes with the declared format.

    Raises BadData when there is nothing, UnsupportedFormat naming what was found when it is something else.
    """
    if not sample:
        raise BadData("The file is empty")
    found = _binary_kind(sample)
    if declared in BINARY:
        if found not in BINARY[declared]:
            raise UnsupportedFormat(f"The file was declared {declared}, but it is {found or 'text'}")
        return
    if found is not None:
        raise UnsupportedFormat(f"The file was declared {declared}, but it is {found}")


def check_text(declared: DataFormat, sample: bytes) -> None:
    """The same for text (UTF-8): JSON declared csv, a JSON array or plain text declared ndjson, a web page."""
    lines = [line for line in (raw.strip() for raw in sample.split(b"\n")) if line]
    if not lines:
        raise BadData("The file is empty: it holds nothing but white space")
    if lines[0][:9].lower() in (b"<!doctype", b"<html") or lines[0][:5].lower() in (b"<html", b"<?xml"):
        raise UnsupportedFormat(f"The file was declared {declared}, but it is a web page or XML document")
    if declared is DataFormat.JSON:
        if lines[0].startswith(b"{"):
            raise UnsupportedFormat("The file was declared json, but it is no array: objects, one a line, are ndjson")
        if not lines[0].startswith(b"["):
            raise UnsupportedFormat("The file was declared json, but it does not begin with an array")
    elif declared is DataFormat.NDJSON:
        if lines[0].startswith(b"["):
            raise UnsupportedFormat("The file was declared ndjson, but it is a JSON array: declare it json")
        if not any(line.startswith(b"{") for line in lines):
            raise UnsupportedFormat("The file was declared ndjson, but no line begins a JSON object")
    elif all(line.startswith(b"{") for line in lines) and _is_json(lines[0]):
        raise UnsupportedFormat("The file was declared csv, but it is JSON, one object a line")
    elif lines[0].startswith(b"[") and lines[0][1:].lstrip()[:1] in (b"", b"{") and b"," not in lines[0][:2]:
        raise UnsupportedFormat("The file was declared csv, but it is a JSON array")
    elif lines[0] == b"{":
        raise UnsupportedFormat("The file was declared csv, but it is a JSON object")


def _binary_kind(sample: bytes) -> str | None:
    for magic, name in MAGICS:
        if sample.startswith(magic) and (magic not in TEXT_LIKE or _is_binary(sample)):
            return name
    return "binary data" if _is_binary(sample) else None


def _is_binary(sample: bytes) -> bool:
    if any(sample.startswith(bom) for bom, _ in BOMS) or guess_wide(sample):
        return False
    controls = len(sample) - len(sample.translate(None, CONTROLS))
    nuls = sample.count(0) > max(MAX_NULS, MAX_NUL_SHARE * len(sample))
    return nuls or controls > max(MAX_NULS, MAX_CONTROL_SHARE * len(sample))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
