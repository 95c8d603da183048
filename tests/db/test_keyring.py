"""Promise: keys are kept over the API by admins alone, and of two who revoke each other one stays."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gristmill.db import keyring, keys
from gristmill.db.engine import Database
from gristmill.db.questions import Question
from gristmill.domain.key import ApiKey, Scope, make_key, make_token
from gristmill.domain.role import Role
from gristmill.settings import Settings

WAITING = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Database]:
    """As the API speaks, bound to nobody."""
    async with Database.open(settings, role=Role.API) as opened:
        yield opened


async def kept(database: Database, *scopes: Scope, expires_at: datetime | None = None) -> ApiKey:
    """A key as the command line makes it."""
    _, key = make_key("root", scopes or [Scope.ADMIN], expires_at=expires_at)
    await keys.add_key(database, key)
    return key


async def strangers(database: Database) -> dict[str, str | None]:
    """Ids of keys with which nothing is to be had."""
    revoked = await kept(database)
    await keys.revoke_key(database, revoked.id)
    return {
        "nobody": None,
        "unknown": "nosuchkey000",
        "reader and writer": (await kept(database, Scope.READ, Scope.WRITE)).id,
        "expired": (await kept(database, expires_at=datetime.now(UTC) - timedelta(seconds=1))).id,
        "revoked": revoked.id,
    }


async def test_who_is_no_admin_finds_nothing_and_changes_nothing(api: Database, database: Database) -> None:
    target = await kept(database)
    _, new = make_key("mallory", list(Scope))
    for name, asked_by in (await strangers(database)).items():
        assert await keyring.list_keys(api, asked_by=asked_by, limit=9) == [], name
        assert await keyring.get_key(api, target.id, asked_by=asked_by) is None, name
        assert await keyring.create_key(api, new, asked_by=asked_by) is None, name
        assert await keyring.revoke_key(api, target.id, asked_by=asked_by) is None, name
        rotated = await keyring.rotate_key(
            api, target.id, make_token(), asked_by=asked_by, overlap_s=0, expires_at=None
        )
        assert rotated is None, name
    assert await keys.find_key(database, target.id) == target
    assert await keys.find_key(database, new.id) is None
    seen = await keyring.list_keys(api, asked_by=target.id, limit=9)
    assert [row.status for row in seen] == ["expired", "active", "revoked", "active"]


async def test_without_any_key_the_first_one_is_made_and_no_other(api: Database) -> None:
    _, first = make_key("local", [Scope.ADMIN])
    _, second = make_key("local", [Scope.ADMIN])
    assert await keyring.create_key(api, first, asked_by=None) is not None
    assert await keyring.create_key(api, second, asked_by=None) is None
    assert await keyring.create_key(api, second, asked_by=first.id) is not None


async def test_of_two_admins_who_revoke_each_other_one_stays(api: Database, database: Database) -> None:
    ann, ben = await kept(database), await kept(database)
    async with api.driver() as driver:
        transaction = driver.transaction()
        await transaction.start()
        assert await driver.fetch(Question.REVOKE_KEY.statement, ann.id, ben.id)
        late = asyncio.create_task(keyring.revoke_key(api, ann.id, asked_by=ben.id))
        await waits(database)
        await transaction.commit()
    assert await late is None
    assert await keys.find_key(database, ben.id) is None
    assert await keys.find_key(database, ann.id) == ann


async def test_of_two_who_rotate_a_key_one_does(api: Database, database: Database) -> None:
    root, old = await kept(database), await kept(database, Scope.READ)
    token = make_token()
    async with api.driver() as driver:
        transaction = driver.transaction()
        await transaction.start()
        given = (root.id, old.id, token.id, token.secret_sha256, 60.0, True, None)
        assert len(await driver.fetch(Question.ROTATE_KEY.statement, *given)) == 2
        late = asyncio.create_task(
            keyring.rotate_key(api, old.id, make_token(), asked_by=root.id, overlap_s=60, expires_at=None)
        )
        await waits(database)
        await transaction.commit()
    assert await late is None
    assert [row.replaced_by for row in await keyring.list_keys(api, asked_by=root.id, limit=9)] == [
        None,
        token.id,
        None,
    ]


async def waits(database: Database) -> None:
    """Until a statement waits for a lock that another one has."""
    async with asyncio.timeout(20), database.driver() as driver:
        while not await driver.fetchval(WAITING):
            await asyncio.sleep(0.01)
