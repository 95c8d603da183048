"""Text in its encoding ─▶ UTF-8. What can't be decoded becomes bytes that are not UTF-8, so its line is rejected."""

import codecs
import re
import unicodedata
from collections.abc import Iterator

from gristmill.ingest.options import Encoding

BOMS: tuple[tuple[bytes, Encoding], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NOT_UTF8 = b"\xff"
# Of UTF-16 text, delimiters, digits and line ends have a zero byte, whatever the script of its words.
UTF16_ZERO_SHARE = 0.08
PLAIN_CONTROLS = frozenset("\t\n\r\f")
NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
UTF16_LOOK_BYTES = 4096
MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
HIGH = re.compile(rb"[\x80-\xff]")


def find_encoding(sample: bytes, declared: Encoding | None, *, unicode_only: bool) -> tuple[Encoding, bytes]:
    """The encoding and the byte order mark to skip. Without a mark: UTF-16 by its zeros, else UTF-8, else Windows-1252.

    Windows-1252 it is when more bytes over 127 stand alone than make UTF-8 sequences; a mostly good UTF-8 text with
    some broken lines stays UTF-8. With `unicode_only` it is never Windows-1252 unless declared.
    """
    for mark, encoding in BOMS:
        if sample.startswith(mark) and declared in (None, encoding):
            return encoding, mark
    if declared is not None:
        return declared, b""
    if (wide := guess_utf16(sample)) is not None:
        return wide, b""
    if unicode_only:
        return "utf-8", b""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # a sequence cut off at the end is no error
    except UnicodeDecodeError:
        sequences = MULTIBYTE.findall(sample)
        alone = len(HIGH.findall(sample)) - sum(map(len, sequences))
        return ("windows-1252" if alone > len(sequences) else "utf-8"), b""
    return "utf-8", b""


def guess_utf16(sample: bytes) -> Encoding | None:
    """UTF-16 without a mark: zeros on one side of the pairs, hardly any on the other, and it reads as text."""
    even, odd = sample[0::2], sample[1::2]
    if len(odd) < 2:
        return None
    zeros_even, zeros_odd = even.count(0) / len(even), odd.count(0) / len(odd)
    if zeros_odd > UTF16_ZERO_SHARE and zeros_even < zeros_odd / 10 and _reads(sample, "utf-16-le"):
        return "utf-16-le"
    if zeros_even > UTF16_ZERO_SHARE and zeros_odd < zeros_even / 10 and _reads(sample, "utf-16-be"):
        return "utf-16-be"
    return None


def _reads(sample: bytes, encoding: Encoding) -> bool:
    """Whether nearly all signs are those of a text: binary data with many zeros has controls and unassigned ones."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample[:UTF16_LOOK_BYTES])
    strange = sum(unicodedata.category(sign) in NO_TEXT and sign not in PLAIN_CONTROLS for sign in text)
    return strange <= len(text) / 50


def to_utf8(pieces: Iterator[bytes], encoding: Encoding, mark: bytes) -> Iterator[bytes]:
    """UTF-8 as it is, the rest decoded and encoded again; the byte order mark is dropped."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(_on_error(encoding))
    skip = len(mark)
    for raw in pieces:
        piece, skip = raw[skip:], max(0, skip - len(raw))
        if decoder is None:
            yield piece
        else:
            # A lone surrogate passes as three bytes that are not UTF-8: the line is rejected where it stands.
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    if decoder is not None and decoder.getstate()[0]:
        yield NOT_UTF8


def _on_error(encoding: Encoding) -> str:
    return "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"


def unix_line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """For text whose lines end with a carriage return alone."""
    for piece in pieces:
        yield piece.replace(b"\r", b"\n")
