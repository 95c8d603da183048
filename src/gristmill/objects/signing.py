"""Signatures over parts whose SHA-256 is known: the client would work it out on the event loop, for 5 to 10 ms a part,
and the parts of many uploads are full at the same moment.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from types_aiobotocore_s3 import S3Client

USUAL = "s3v4"
# Added to the client's table of signatures, beside its own ones.
OURS = "s3v4-of-known-content"
# Of the content that this task sends, in hex.
_known: ContextVar[str | None] = ContextVar("known", default=None)


class KnownContent(S3SigV4Auth):
    """Signature version 4 as the client makes it, the digest of the content being given."""

    def payload(self, request: "AWSRequest") -> str:
        known = _known.get()
        return str(super().payload(request)) if known is None else known


AUTH_TYPE_MAPS[OURS] = KnownContent


@contextmanager
def known_content(sha256: str) -> Iterator[None]:
    """Within it, what this task sends has this SHA-256 (hex): a store refuses what has another."""
    token = _known.set(sha256)
    try:
        yield
    finally:
        _known.reset(token)


def sign_known_content(s3: "S3Client") -> None:
    """Have this client ask for the digest that is known. URLs that it signs for others are not meant."""
    # The stubs know no event whose handlers answer; this one's are asked until one does.
    s3.meta.events.register_first("choose-signer.s3", _choose)  # type: ignore[arg-type]


def _choose(*, signature_version: str, **_: object) -> str | None:
    return OURS if signature_version == USUAL and _known.get() is not None else None
