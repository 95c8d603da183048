"""Text in its encoding ─▶ UTF-8. What can't be decoded becomes bytes that are not UTF-8, so its line is rejected."""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from gristmill.ingest import code_pages
from gristmill.ingest.options import CODECS, Encoding

# The mark of UTF-32 begins as that of UTF-16 does.
BOMS: tuple[tuple[bytes, Encoding], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NOT_UTF8 = b"\xff"
# Of UTF-16 text, delimiters, digits and line ends have a zero byte, whatever the script of its words.
UTF16_ZERO_SHARE = 0.08
UTF32_ZEROS = 0.99
PLAIN_CONTROLS = frozenset("\t\n\r\f")
NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
WIDE_LOOK_BYTES = 4096
MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
HIGH = re.compile(rb"[\x80-\xff]")


class Found(NamedTuple):
    """The encoding and the byte order mark to skip. With `guessed`, nothing in the bytes says so for certain."""

    encoding: Encoding
    mark: bytes = b""
    guessed: code_pages.Guess | None = None

    @property
    def told(self) -> dict[str, object]:
        """What is reported of it with the dialect."""
        told: dict[str, object] = {"encoding": self.encoding, "bom": bool(self.mark)}
        if self.guessed is None:
            return told
        confidence = "likely" if self.guessed.likely else "unsure"
        return told | {"encoding_confidence": confidence, "encoding_alternatives": self.guessed.others}

    @property
    def warnings(self) -> list[str]:
        if self.guessed is None:
            return []
        others = ", ".join(self.guessed.others)
        also = f"; it may also be {others}" if others else ""
        unsure = "" if self.guessed.likely else ", which is unsure: look at the words"
        return [f"The text is not UTF-8: it was read as {self.encoding}{unsure}{also} (encoding says)"]


def find_encoding(sample: bytes, declared: Encoding | None, *, unicode_only: bool) -> Found:
    """The encoding by its mark. Without one: UTF-32 and UTF-16 by their zeros, else UTF-8, else what its letters tell.

    UTF-8 it is not when more bytes over 127 stand alone than make UTF-8 sequences; a mostly good UTF-8 text with
    some broken lines stays UTF-8. With `unicode_only` it is never anything else unless declared.
    """
    for mark, encoding in BOMS:
        if sample.startswith(mark) and declared in (None, encoding):
            return Found(encoding, mark)
    if declared is not None:
        return Found(declared)
    if (wide := guess_wide(sample)) is not None:
        return Found(wide)
    if unicode_only:
        return Found("utf-8")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # a sequence cut off at the end is no error
    except UnicodeDecodeError:
        sequences = MULTIBYTE.findall(sample)
        alone = len(HIGH.findall(sample)) - sum(map(len, sequences))
        if alone > len(sequences):
            guessed = code_pages.guess(sample)
            return Found(guessed.encoding, guessed=guessed)
    return Found("utf-8")


def guess_wide(sample: bytes) -> Encoding | None:
    """UTF-32 or UTF-16 without a mark, by its zeros, and if it reads as text.

    Of UTF-32, one outer byte of four is always zero, the other hardly ever; of UTF-16, zeros are on one side of the
    pairs, and hardly any on the other.
    """
    outer = sample[0::4], sample[3::4]
    first, last = ((one.count(0) / len(one)) if one else 0.0 for one in outer)
    if len(outer[1]) > 1 and max(first, last) > UTF32_ZEROS and min(first, last) < 1 - UTF32_ZEROS:
        encoding: Encoding = "utf-32-le" if last > first else "utf-32-be"
        if _reads(sample, encoding):
            return encoding
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
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample[:WIDE_LOOK_BYTES])
    strange = sum(unicodedata.category(sign) in NO_TEXT and sign not in PLAIN_CONTROLS for sign in text)
    strange += text.count("\ufffd")
    return strange <= len(text) / 50


def to_utf8(pieces: Iterator[bytes], encoding: Encoding, mark: bytes) -> Iterator[bytes]:
    """UTF-8 as it is, the rest decoded and encoded again; the byte order mark is dropped."""
    codec = CODECS.get(encoding, encoding)
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(codec)(_on_error(encoding))
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
    return "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"


def unix_line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """For text whose lines end with a carriage return alone."""
    for piece in pieces:
        yield piece.replace(b"\r", b"\n")
