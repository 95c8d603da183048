"""What an admin does with the keys of all owners over the API. The functions behind it look whether it is an admin who
asks (`db/questions.py`), so a key that was revoked while its request was under way finds nothing.

`asked_by` is the id of the key that a request is made with; None: nobody needed one.
"""

from datetime import datetime
from typing import Any, Protocol

import asyncpg
import msgspec
from msgspec import UnsetType

from gristmill.db.engine import Database
from gristmill.db.questions import Question
from gristmill.domain.key import ApiKey, KeyStatus, Scope, Token

# Above every number that a row can have.
TOP = 2**63 - 1


class Asking(Protocol):
    """Who asks questions: connections, or a transaction under way."""

    async def ask(self, question: Question, *arguments: object) -> list[asyncpg.Record]: ...


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its digest. `number` grows with each that is made; `replaced_by` is the key it was rotated to."""

    number: int
    id: str
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    status: KeyStatus
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None


async def list_keys(
    database: Database,
    *,
    asked_by: str | None,
    limit: int,
    below: int = TOP,
    owner: str | None = None,
    status: KeyStatus | None = None,
) -> list[KeyRow]:
    """A page of keys, newest first, with numbers below `below`."""
    found = await database.ask(Question.LIST_KEYS, asked_by, None, owner, status, below, limit)
    return [_row(record) for record in found]


async def get_key(asking: Asking, key_id: str, *, asked_by: str | None) -> KeyRow | None:
    found = await asking.ask(Question.LIST_KEYS, asked_by, key_id, None, None, TOP, 1)
    return _row(found[0]) if found else None


async def create_key(asking: Asking, key: ApiKey, *, asked_by: str | None) -> KeyRow | None:
    """Keep a key. Without a key to ask with, it can be the first one alone. None: whoever asks may not."""
    scopes = msgspec.json.encode(key.scopes).decode()
    made = await asking.ask(
        Question.ADD_KEY, asked_by, key.id, key.owner, key.name, key.secret_sha256, scopes, key.expires_at
    )
    return _row(made[0]) if made else None


async def revoke_key(database: Database, key_id: str, *, asked_by: str | None) -> KeyRow | None:
    """The key as it is now, revoked. None: there is none, or it is the one that asks."""
    ended = await database.ask(Question.REVOKE_KEY, asked_by, key_id)
    return _row(ended[0]) if ended else None


async def rotate_key(
    asking: Asking,
    key_id: str,
    token: Token,
    *,
    asked_by: str | None,
    overlap_s: float,
    expires_at: datetime | UnsetType | None,
) -> tuple[KeyRow, KeyRow] | None:
    """Keep a key that takes over from an active one, with its owner, name and scopes; without `expires_at` also with
    its expiry. The old one lives `overlap_s` seconds more, and no longer than it would have.

    Answers both as they are now, the new one first. None: there is no such active key that was not rotated already.
    """
    kept = isinstance(expires_at, UnsetType)
    expiry = None if kept else expires_at
    told = await asking.ask(
        Question.ROTATE_KEY, asked_by, key_id, token.id, token.secret_sha256, overlap_s, kept, expiry
    )
    if not told:
        return None
    made, ending = (_row(record) for record in told)
    return made, ending


def _row(record: asyncpg.Record) -> KeyRow:
    fields: dict[str, Any] = dict(record)
    scopes = msgspec.json.decode(fields.pop("scopes"), type=tuple[Scope, ...])
    return KeyRow(**fields | {"scopes": scopes, "status": KeyStatus(record["status"])})
