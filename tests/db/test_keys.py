"""Keys are found while they are valid, by the database's clock, and a revoked one stays revoked."""

from datetime import UTC, datetime, timedelta

from gristmill.db import keys
from gristmill.db.audit import list_audit
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


async def test_a_rotated_key_lives_through_the_overlap_and_no_longer_than_it_would_have(database: Database) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    _, key = make_key("ann", [Scope.READ], expires_at=expires_at)
    await keys.add_key(database, key)
    token = await keys.rotate_key(database, key.id, overlap_s=3600)
    new_id = (split_token(token or "") or ("", ""))[0]
    new, old = await keys.find_key(database, new_id), await keys.find_key(database, key.id)
    assert new is not None
    assert (new.owner, new.scopes, new.expires_at) == ("ann", (Scope.READ,), expires_at)
    assert new.secret_sha256 != key.secret_sha256
    assert old is not None
    assert old.expires_at is not None
    assert timedelta(minutes=59) < old.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert await keys.rotate_key(database, key.id, overlap_s=3600) is None, "it was rotated already"
    assert await keys.rotate_key(database, new_id, overlap_s=7 * 86400)
    shortened = await keys.find_key(database, new_id)
    assert shortened is not None
    assert shortened.expires_at == expires_at, "a long overlap makes no key live longer"
    last = next(use for use in await keys.list_keys(database) if use.replaced_by is None)
    assert await keys.rotate_key(database, last.key.id, overlap_s=0)
    assert await keys.find_key(database, last.key.id) is None, "without an overlap it ends at once"


async def test_what_happens_to_keys_is_on_the_audit_trail(database: Database) -> None:
    _, key = make_key("ann", [Scope.READ])
    for _ in range(2):
        await keys.add_key(database, key)
    await keys.rotate_key(database, key.id, overlap_s=60)
    await keys.revoke_key(database, key.id)
    await keys.revoke_key(database, key.id)
    assert await keys.note_refusal(database, key.id) == "revoked"
    assert await keys.note_refusal(database, "nokeyatall12") is None
    told = [(event.action, event.subject == key.id) for event in reversed(await list_audit(database, limit=50))]
    assert told == [
        ("key.created", True),
        ("key.rotated", True),
        ("key.created", False),
        ("key.revoked", True),
        ("key.refused", True),
    ]


async def test_a_use_is_noted_to_the_hour(database: Database) -> None:
    _, key = make_key("ann", [Scope.READ])
    await keys.add_key(database, key)
    await keys.note_use(database, key.id)
    (first,) = await keys.list_keys(database)
    assert first.last_used_at is not None
    await keys.note_use(database, key.id)
    assert await keys.list_keys(database) == [first], "a second use in the hour writes nothing"
