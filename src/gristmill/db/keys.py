"""Statements on API keys. Only digests are stored and compared."""

from typing import Any

import msgspec

from gristmill.db.engine import Database
from gristmill.domain.key import ApiKey, Scope

ADD = """
INSERT INTO api_keys (id, owner, secret_sha256, scopes, expires_at) VALUES ($1, $2, $3, $4::jsonb, $5)
ON CONFLICT (id) DO NOTHING
"""
FIND = """
SELECT id, owner, secret_sha256, scopes, expires_at FROM api_keys
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
EXIST = "SELECT EXISTS (SELECT FROM api_keys)"
REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true"
LIST = "SELECT id, owner, secret_sha256, scopes, expires_at FROM api_keys WHERE revoked_at IS NULL ORDER BY id"


async def add_key(database: Database, key: ApiKey) -> None:
    """Keep a key. One whose id is known already stays as it is, revoked or not."""
    async with database.driver() as driver:
        scopes = msgspec.json.encode(key.scopes).decode()
        await driver.execute(ADD, key.id, key.owner, key.secret_sha256, scopes, key.expires_at)


async def find_key(database: Database, key_id: str) -> ApiKey | None:
    """The key if it is neither revoked nor expired, by the database's clock."""
    async with database.driver() as driver:
        record = await driver.fetchrow(FIND, key_id)
    return None if record is None else _key_row(dict(record))


async def keys_exist(database: Database) -> bool:
    """Whether any key was ever made, revoked ones included: from then on every request needs one."""
    async with database.driver() as driver:
        return bool(await driver.fetchval(EXIST))


async def revoke_key(database: Database, key_id: str) -> bool:
    async with database.driver() as driver:
        return bool(await driver.fetchval(REVOKE, key_id))


async def list_keys(database: Database) -> list[ApiKey]:
    async with database.driver() as driver:
        return [_key_row(dict(record)) for record in await driver.fetch(LIST)]


def _key_row(values: dict[str, Any]) -> ApiKey:
    return ApiKey(**{**values, "scopes": msgspec.json.decode(values["scopes"], type=tuple[Scope, ...])})
