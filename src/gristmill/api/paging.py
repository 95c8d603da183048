"""Keyset pages: a cursor that fits one list of one owner with one set of filters, and no other."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar.openapi.spec import Example
from litestar.params import QueryParameter

from gristmill.api.answers import Response
from gristmill.errors import Fault, InvalidCursor, InvalidRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
CHECK_BYTES = 12

Limit = Annotated[
    int,
    QueryParameter(
        ge=1, le=MAX_LIMIT, description="Items on the page, at most.", examples=[Example(value=DEFAULT_LIMIT)]
    ),
]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=200, description="`next` of the page before. It fits the same filters only."),
]

Filters = Mapping[str, str | Sequence[str] | None]
Next = str | msgspec.UnsetType


class Placed(Protocol):
    @property
    def id(self) -> UUID | int: ...


Row = TypeVar("Row", bound=Placed)
Item = TypeVar("Item")
Page = TypeVar("Page")


@dataclass(frozen=True, kw_only=True)
class Paging:
    """One page of a list as it is asked for. `of` names the list, `path` is where it is read.

    `filters` are those that a cursor fits; `query` what the link to the next page repeats, where that is not the same.
    """

    of: str
    path: str
    owner: str
    limit: int
    cursor: str | None
    filters: Filters = field(default_factory=dict)
    query: Filters | None = None

    @property
    def rows(self) -> int:
        """How many rows to read: one more than is told shows that there is a next page."""
        return self.limit + 1

    @property
    def before(self) -> UUID | None:
        """The id below which the page begins; None for the first page. Raises InvalidCursor."""
        return before(self.cursor, of=self.of, owner=self.owner, filters=self.filters)

    def first(self, otherwise: int) -> int:
        """The number that the page begins at, or after; without a cursor the other one. Raises InvalidCursor."""
        if self.cursor is None:
            return otherwise
        return int.from_bytes(decode_cursor(self.cursor, of=self.of, owner=self.owner, filters=self.filters), "big")

    def following(self, place: UUID | int | None) -> Next:
        """The cursor of the page after this place; None: there is none."""
        if place is None:
            return msgspec.UNSET
        return encode_cursor(place, of=self.of, owner=self.owner, filters=self.filters)

    def headers(self, following: Next) -> dict[str, str]:
        query = self.filters if self.query is None else self.query
        return next_link(self.path, query, limit=self.limit, cursor=following)

    def answer(
        self, rows: Sequence[Row], item: Callable[[Row], Item], page: Callable[[tuple[Item, ...], Next], Page]
    ) -> Response[Page]:
        """A page of the items made of the rows, `self.rows` of which were asked for."""
        told = rows[: self.limit]
        following = self.following(told[-1].id if len(rows) > self.limit else None)
        return Response(page(tuple(item(row) for row in told), following), headers=self.headers(following))


def encode_cursor(place: UUID | int, *, of: str, owner: str, filters: Filters) -> str:
    """Where a page ended, with a checksum over what it was a page of. It opens nothing: statements check the owner."""
    raw = place.bytes if isinstance(place, UUID) else place.to_bytes(16, "big")
    return base64.urlsafe_b64encode(raw + _checksum(raw, of, owner, filters)).decode()


def decode_cursor(cursor: str, *, of: str, owner: str, filters: Filters) -> bytes:
    """The 16 bytes of the place in a cursor.

    Raises:
        InvalidCursor: it is not one of ours, or of another list, owner or set of filters.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    place = raw[:16]
    if raw[16:] != _checksum(place, of, owner, filters):
        fault = Fault("/query/cursor", "Not a cursor of this list with these filters.")
        raise InvalidCursor("Use `next` of a page with the same filters, unchanged.", errors=(fault,))
    return place


def before(cursor: str | None, *, of: str, owner: str, filters: Filters) -> UUID | None:
    """The id below which the page begins; None for the first page. Raises InvalidCursor."""
    return None if cursor is None else UUID(bytes=decode_cursor(cursor, of=of, owner=owner, filters=filters))


def next_link(path: str, query: Filters, *, limit: int, cursor: Next) -> dict[str, str]:
    """The headers of a page: where the next one is (RFC 8288), if there is one."""
    if isinstance(cursor, msgspec.UnsetType):
        return {}
    given = {name: value for name, value in query.items() if value is not None}
    return {"Link": f'<{path}?{urlencode({**given, "limit": limit, "cursor": cursor}, doseq=True)}>; rel="next"'}


def checked_text(value: str | None, pointer: str) -> str | None:
    """A text that goes into a statement. Raises InvalidRequest for U+0000, which no text in PostgreSQL can hold."""
    if value is not None and "\0" in value:
        raise InvalidRequest("A parameter has a NUL character.", errors=(Fault(pointer, "U+0000 can't be stored."),))
    return value


def _checksum(place: bytes, of: str, owner: str, filters: Filters) -> bytes:
    content = msgspec.json.encode((place.hex(), of, owner, sorted(filters.items())))
    return hashlib.blake2b(content, digest_size=CHECK_BYTES, person=b"gm-cursor").digest()
