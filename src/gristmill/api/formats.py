"""What an upload says of itself: its format, its name, its options and its digest."""

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from gristmill.api.bodies import decode_json
from gristmill.domain.dataset import DataFormat
from gristmill.errors import Fault, InvalidRequest, MalformedRequest
from gristmill.ingest.formats import FORMATS, format_word, with_format
from gristmill.ingest.options import IngestOptions

MAX_NAME = 255
SHA256 = "sha-256"
# A member of a dictionary of byte sequences (RFC 8941, 3.2); parameters say nothing here.
_DIGEST = re.compile(r"[ \t]*(?P<name>[a-z*][a-z0-9_.*-]*)=:(?P<value>[A-Za-z0-9+/=]*):(?:;[^,]*)?[ \t]*")


@dataclass(frozen=True)
class Described:
    """A dataset as its sender describes it."""

    name: str
    data_format: DataFormat
    media_type: str
    options: bytes


def describe(
    *, name: str | None, filename: str | None, told: str | None, media_type: str, options: bytes | None
) -> Described:
    """Put together what fields, query, headers and the file name say.

    Raises:
        UnsupportedFormat: the format can't be told, or is none of ours.
        InvalidRequest, MalformedRequest: the name or the options do not fit.
    """
    base = PurePosixPath((filename or name or "").replace("\\", "/")).name
    word = format_word(told=told, media_type=media_type, filename=base)
    return Described(
        name=checked_name(name if name is not None else base or "dataset"),
        data_format=FORMATS[word],
        media_type=media_type or "application/octet-stream",
        options=checked_options(options, word),
    )


def checked_name(name: str) -> str:
    """The name without spaces around it. Raises InvalidRequest: empty, too long, or with control characters."""
    stripped = unicodedata.normalize("NFC", name).strip()
    if not stripped or len(stripped) > MAX_NAME:
        detail = f"It must have 1 to {MAX_NAME} characters."
    elif any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in stripped):
        detail = "It must have no control characters."
    else:
        return stripped
    raise InvalidRequest("The name does not fit.", errors=(Fault("/name", detail),))


def checked_options(options: bytes | None, word: str) -> bytes:
    """The ingest options as they are kept: what was given, and a tab where the format says so."""
    if not options:
        given: dict[str, object] = {}
    else:
        decode_json(options, IngestOptions, pointer="/options")
        given = msgspec.json.decode(options)
    return msgspec.json.encode(with_format(given, word))


def promised_digest(*headers: str | None) -> frozenset[str]:
    """The SHA-256, in hex, that `Repr-Digest` and `Content-Digest` (RFC 9530) promise. Other algorithms are ignored.

    Raises:
        MalformedRequest: a header is no dictionary of digests, or its SHA-256 has not 32 bytes.
    """
    found: set[str] = set()
    for header in headers:
        for member in () if header is None else header.split(","):
            match = _DIGEST.fullmatch(member)
            raw = None if match is None else _decoded(match["value"])
            if match is None or raw is None or (match["name"] == SHA256 and len(raw) != 32):
                raise MalformedRequest("A digest must look like sha-256=:BASE64:, with 32 bytes in it.")
            if match["name"] == SHA256:
                found.add(raw.hex())
    return frozenset(found)


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
