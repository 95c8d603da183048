"""What a key, a prefix and a file name may look like."""

import re
import unicodedata
from urllib.parse import quote

# No "//" and no "..": some servers fold them, and one object would stand for another.
_SEGMENTS = re.compile(r"(?:[0-9A-Za-z_-][0-9A-Za-z._-]*/)*(?:[0-9A-Za-z_-][0-9A-Za-z._-]*)?")
_UNSAFE_IN_NAMES = re.compile(r'["\\/:*?<>|%]+')
MAX_NAME = 150


def checked_key(key: str) -> str:
    """The key itself, or ValueError: keys are ours, made of ids and fixed names, never of a user's text."""
    if not key or key.endswith("/") or not _SEGMENTS.fullmatch(key):
        raise ValueError("not a key of ours")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself, or ValueError: it ends in "/", or `job/1` would cover `job/10` as well."""
    if not prefix.endswith("/") or not _SEGMENTS.fullmatch(prefix):
        raise ValueError("not a prefix of ours")
    return prefix


def attachment(filename: str) -> str:
    """A Content-Disposition that saves under a safe form of `filename` (RFC 6266, RFC 8187)."""
    visible = "".join(sign if sign.isprintable() else "/" for sign in unicodedata.normalize("NFC", filename))
    name = _UNSAFE_IN_NAMES.sub("_", visible).strip(" .")[:MAX_NAME] or "download"
    plain = name.encode("ascii", "replace").decode("ascii").replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
