"""Statements on API keys. Only digests are stored and compared. What is not a question is for who owns the tables; what
an admin does over the API is in `db/keyring.py`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gristmill.db.audit import note
from gristmill.db.engine import Database
from gristmill.db.questions import Question
from gristmill.domain.audit import AuditAction, AuditEvent
from gristmill.domain.key import ApiKey, KeyUse, Scope, make_key

ADD = """
INSERT INTO api_keys (id, owner, secret_sha256, scopes, expires_at, name) VALUES ($1, $2, $3, $4::jsonb, $5, $6)
ON CONFLICT (id) DO NOTHING RETURNING true
"""
REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING owner"
LIST = """
SELECT id, owner, name, secret_sha256, scopes, expires_at, created_at, last_used_at, replaced_by FROM api_keys
WHERE revoked_at IS NULL ORDER BY id
"""
ROTATE = """
SELECT id, owner, name, secret_sha256, scopes, expires_at FROM api_keys
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND replaced_by IS NULL FOR UPDATE
"""
# It never lives longer than it would have: LEAST passes over NULL.
REPLACE = """
UPDATE api_keys SET replaced_by = $2, expires_at = least(expires_at, now() + make_interval(secs => $3)) WHERE id = $1
"""


async def add_key(database: Database, key: ApiKey) -> None:
    """Keep a key. One whose id is known already stays as it is, revoked or not."""
    async with database.driver() as driver, driver.transaction():
        if await driver.fetchval(ADD, *_values(key)):
            await note(driver, AuditEvent(action=AuditAction.KEY_CREATED, owner=key.owner, subject=key.id))


async def find_key(database: Database, key_id: str) -> ApiKey | None:
    """The key if it is neither revoked nor expired, by the database's clock."""
    found = await database.ask(Question.KEY, key_id)
    return _key_row(dict(found[0])) if found else None


async def keys_exist(database: Database) -> bool:
    """Whether any key was ever made, revoked ones included: from then on every request needs one."""
    ((exist,),) = await database.ask(Question.KEYS_EXIST)
    return bool(exist)


async def revoke_key(database: Database, key_id: str) -> bool:
    async with database.driver() as driver, driver.transaction():
        owner = await driver.fetchval(REVOKE, key_id)
        if owner is not None:
            await note(driver, AuditEvent(action=AuditAction.KEY_REVOKED, owner=owner, subject=key_id))
    return owner is not None


async def rotate_key(database: Database, key_id: str, *, overlap_s: float) -> str | None:
    """Make another key with the same owner, name, scopes and expiry, and let the old one live `overlap_s` seconds more.

    Answers the new token, to be shown once; None: there is no such key that is valid and not replaced already.
    """
    async with database.driver() as driver, driver.transaction():
        record = await driver.fetchrow(ROTATE, key_id)
        if record is None:
            return None
        old = _key_row(dict(record))
        token, key = make_key(old.owner, old.scopes, expires_at=old.expires_at, name=old.name)
        await driver.execute(ADD, *_values(key))
        await driver.execute(REPLACE, old.id, key.id, overlap_s)
        await note(driver, AuditEvent(action=AuditAction.KEY_ROTATED, owner=old.owner, subject=old.id))
        await note(driver, AuditEvent(action=AuditAction.KEY_CREATED, owner=key.owner, subject=key.id))
    return token


async def note_use(database: Database, key_id: str) -> None:
    """Note that a key was used, to the hour."""
    await database.ask(Question.NOTE_KEY_USE, key_id)


async def note_refusal(database: Database, key_id: str) -> str | None:
    """Note that a key was refused. Answers why; None: there is no such key, and nobody whom it would concern."""
    ((reason,),) = await database.ask(Question.NOTE_KEY_REFUSAL, key_id)
    return None if reason is None else str(reason)


async def list_keys(database: Database) -> list[KeyUse]:
    """The keys that are not revoked, expired ones included, with when they were used."""
    async with database.driver() as driver:
        records = await driver.fetch(LIST)
    return [
        KeyUse(_key_row(dict(record)), record["created_at"], record["last_used_at"], record["replaced_by"])
        for record in records
    ]


def _values(key: ApiKey) -> tuple[Any, ...]:
    scopes = msgspec.json.encode(key.scopes).decode()
    return key.id, key.owner, key.secret_sha256, scopes, key.expires_at, key.name


def _key_row(record: Mapping[str, Any]) -> ApiKey:
    scopes = msgspec.json.decode(record["scopes"], type=tuple[Scope, ...])
    name = record.get("name", "")
    return ApiKey(record["id"], record["owner"], record["secret_sha256"], scopes, record["expires_at"], name)
