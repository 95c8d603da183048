"""What an admin does with API keys: listed, made, rotated, revoked."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from gristmill.client.documents import KeyInfo, KeyPage, NewKey, RotatedKey, WhoAmI
from gristmill.client.exchange import Exchange, new_key

Told = TypeVar("Told", NewKey, RotatedKey)

PAGE = 200


async def who_am_i(exchange: Exchange) -> WhoAmI:
    return await exchange.get(WhoAmI, "/whoami")


async def listed(
    exchange: Exchange, *, owner: str | None = None, status: str | None = None, page: int = PAGE
) -> AsyncIterator[KeyInfo]:
    """Newest first, page by page as they are taken."""
    query = {"owner": owner, "status": status, "limit": page}
    found = await exchange.get(KeyPage, "/keys", query)
    while True:
        for key in found.items:
            yield key
        if found.next is None:
            return
        found = await exchange.get(KeyPage, "/keys", {**query, "cursor": found.next})


async def create(exchange: Exchange, body: Mapping[str, object]) -> NewKey:
    return await _told(exchange, await exchange.post(NewKey, "/keys", body, key=new_key()))


async def rotate(exchange: Exchange, key_id: str, body: Mapping[str, object]) -> RotatedKey:
    made = await exchange.post(RotatedKey, f"/keys/{key_id}/rotate", body, key=new_key())
    return msgspec.structs.replace(await _told(exchange, made), replaces=made.replaces)


async def revoke(exchange: Exchange, key_id: str) -> KeyInfo:
    # The second time it is revoked already, and nothing happens: so it may be sent twice.
    return await exchange.post(KeyInfo, f"/keys/{key_id}/revoke", key=new_key())


def request(**given: object) -> dict[str, object]:
    """The fields of a body that are given. Times are told in RFC 3339."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.items()
        if value is not None
    }


async def _told(exchange: Exchange, made: Told) -> Told:
    """A new key with what to send. Where an answer was lost, that is lost with it: nobody has that key, and another
    takes its place at once.
    """
    while made.key is None:
        body = {"overlap_s": 0}
        made = await exchange.post(type(made), f"/keys/{made.id}/rotate", body, key=new_key())
    return made
