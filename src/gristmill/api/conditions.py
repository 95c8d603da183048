"""What a request says of its answer: only if it changed (`If-None-Match`), and how long to wait (`Prefer: wait=N`)."""

import hashlib
import re
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter

MAX_WAIT_S = 30
WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)
TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e]*")')

# Without examples: the docs page would send them with each request that is tried.
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="`ETag` of an earlier answer: if nothing has changed, 304 without a body.",
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description=f"`wait=N`: answer later, when there is something to tell, in N seconds at most ({MAX_WAIT_S}).",
    ),
]


def preferred_wait(prefer: str | None) -> int | None:
    """The seconds of `wait=N` (RFC 7240), at most `MAX_WAIT_S`. What is not understood is no preference."""
    for preference in (prefer or "").split(","):
        found = WAIT.fullmatch(preference.partition(";")[0].strip())
        if found is not None:
            return min(int(found[1]), MAX_WAIT_S)
    return None


def applied(wait_s: int | None) -> dict[str, str]:
    return {} if wait_s is None else {"Preference-Applied": f"wait={wait_s}"}


def weak_etag(told: msgspec.Struct) -> str:
    """A tag that stays the same as long as what is told does."""
    return f'W/"{hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the tag is one of those that were sent, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in TAG.findall(if_none_match)
