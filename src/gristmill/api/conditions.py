"""What a request says of its answer: only if it changed (`If-None-Match`), only if it did not (`If-Match`), and how
long to wait (`Prefer: wait=N`).
"""

import hashlib
import re
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter

from gristmill.errors import Fault, PreconditionFailed

MAX_WAIT_S = 30
WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)
TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')

# Without examples: the docs page would send them with each request that is tried.
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="`ETag` of an earlier answer: if nothing has changed, 304 without a body.",
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="`ETag` of an earlier answer: if it is another by now, 412, and nothing is done. Optional.",
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
    if prefer is None:
        return None
    for preference in prefer.split(","):
        found = WAIT.fullmatch(preference.partition(";")[0].strip())
        if found is not None:
            return min(int(found[1]), MAX_WAIT_S)
    return None


def applied(wait_s: int | None) -> dict[str, str]:
    return {} if wait_s is None else {"Preference-Applied": f"wait={wait_s}"}


def weak_etag(told: msgspec.Struct) -> str:
    """A tag that stays the same as long as what is told does."""
    return f"W/{strong_etag(told)}"


def strong_etag(told: msgspec.Struct) -> str:
    """The same, for what is told byte by byte: the only kind that `If-Match` takes (RFC 9110, 13.1.1)."""
    return f'"{hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()}"'


def check_match(if_match: str | None, etag: str) -> None:
    """Raises PreconditionFailed: the tag is none of those that were sent. A weak one never is."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag not in [found for weak, found in TAG.findall(if_match) if not weak]:
        fault = Fault("/header/If-Match", "Not the ETag that it has now.")
        raise PreconditionFailed("It was changed since it was looked at. Look at it again.", errors=(fault,))


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the tag is one of those that were sent, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in [found for _, found in TAG.findall(if_none_match)]
