"""Keys are found while they are valid, by the database's clock, and a revoked one stays revoked."""

from datetime import UTC, datetime, timedelta

from gristmill.db import keys
from gristmill.db.engine import Database
from gristmill.domain.key import Scope, bootstrap_key, digest, make_key, split_token


async def test_a_key_is_kept_as_a_digest_and_found_until_it_is_revoked(database: Database) -> None:
    assert not await keys.keys_exist(database)
    token, key = make_key("ann", [Scope.READ])
    await keys.add_key(database, key)
    parts = split_token(token)
    assert parts is not None
    found = await keys.find_key(database, parts[0])
    assert found == key
    assert found is not None
    assert found.secret_sha256 == digest(parts[1])
    assert parts[1] not in repr(found)
    assert await keys.revoke_key(database, key.id)
    assert not await keys.revoke_key(database, key.id)
    assert await keys.find_key(database, key.id) is None
    assert await keys.keys_exist(database), "a revoked key still means that keys are needed"


async def test_an_expired_key_is_not_found(database: Database) -> None:
    _, key = make_key("ann", [Scope.READ], expires_at=datetime.now(UTC) - timedelta(days=1))
    await keys.add_key(database, key)
    assert await keys.find_key(database, key.id) is None


async def test_adding_the_bootstrap_key_again_does_not_bring_it_back(database: Database) -> None:
    token, _ = make_key("any", list(Scope))
    key = bootstrap_key(token)
    assert key.scopes == tuple(Scope)
    await keys.add_key(database, key)
    await keys.revoke_key(database, key.id)
    await keys.add_key(database, key)
    assert await keys.find_key(database, key.id) is None
    assert await keys.list_keys(database) == []
