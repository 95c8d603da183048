"""Promise: a connection that comes back to the pool shows nobody the rows of whoever had it before."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from gristmill.db.engine import Database
from gristmill.db.jobs import list_jobs
from gristmill.db.questions import Question
from gristmill.domain.role import Role
from gristmill.errors import DatabaseUnavailable
from gristmill.settings import Settings
from tests.db.owned import ROWS

SEEN = "SELECT owner FROM jobs"
OWNERS = ("ann", "ben", "")


@pytest.fixture
async def one(settings: Settings, database: Database) -> Settings:
    """Settings for a pool of one connection; ann and ben have a job each."""
    async with database.driver() as driver:
        for owner in ("ann", "ben"):
            await driver.execute(ROWS["jobs"], owner)
    return settings.model_copy(update={"postgres_pool_size": 1})


@pytest.fixture
async def api(one: Settings) -> AsyncIterator[Database]:
    async with Database.open(one, role=Role.API) as opened:
        yield opened


async def seen(api: Database, owner: str) -> list[str]:
    async with api.of(owner).driver() as driver:
        return [record["owner"] for record in await driver.fetch(SEEN)]


def own(owner: str) -> list[str]:
    return [owner] if owner else []


async def pid_of(api: Database) -> int:
    async with api.driver() as driver:
        return int(driver.get_server_pid())


async def test_owners_who_take_turns_see_what_is_theirs(api: Database) -> None:
    async def look(owner: str) -> None:
        for _ in range(20):
            assert await seen(api, owner) == own(owner)
            async with api.of(owner).session() as session:
                assert list((await session.scalars(text(SEEN))).all()) == own(owner)
            assert [row.owner for row in await list_jobs(api.of(owner), owner="ann", limit=9)] == (
                ["ann"] if owner == "ann" else []
            )

    async with asyncio.TaskGroup() as group:
        for owner in OWNERS * 2:
            group.create_task(look(owner))


async def test_a_use_that_is_cancelled_anywhere_leaves_nothing_behind(api: Database) -> None:
    """Later and later, until it gets to its end."""

    async def use() -> None:
        async with api.of("ben").driver() as driver, driver.transaction():
            await driver.fetch(SEEN)

    steps, cancelled = 0, 0
    while True:
        assert await seen(api, "ann") == ["ann"]
        task = asyncio.create_task(use())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        assert (await asyncio.wait({task}))[0]
        for owner in ("", "ann"):
            assert await seen(api, owner) == own(owner), f"after {steps} steps"
        # The server's answers take many steps, and what is between them one.
        steps, cancelled = steps + 1 + steps // 16, cancelled + 1
    assert cancelled > 3, "it was cancelled at several places"


async def test_a_binding_that_fails_is_made_again(api: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await seen(api, "ann") == ["ann"]
    with monkeypatch.context() as patch:
        patch.setattr("gristmill.db.pool.BIND", "SELECT set_config('gristmill.owner', $1, false), 1 / 0")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await seen(api, "ben")
    assert await seen(api, "ann") == ["ann"]
    assert await seen(api, "ben") == ["ben"]


async def test_a_statement_that_fails_leaves_nothing_behind(api: Database) -> None:
    before = await pid_of(api)
    for failing in ("SELECT 1 / 0", "INSERT INTO jobs (owner) VALUES ('ann')", "SELECT FROM api_keys"):
        with pytest.raises(asyncpg.PostgresError):
            async with api.of("ben").driver() as driver, driver.transaction():
                await driver.execute(failing)
        assert await seen(api, "ann") == ["ann"]
        assert await seen(api, "") == []
    assert await pid_of(api) == before, "the connection was used on"


async def test_a_connection_that_was_ended_comes_back_bound_to_nobody(api: Database, database: Database) -> None:
    assert await seen(api, "ben") == ["ben"]
    before = await pid_of(api)
    async with api.of("ben").driver() as held:
        async with database.driver() as driver:
            await driver.execute("SELECT pg_terminate_backend($1, 10000)", before)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await held.execute("SELECT 1")
    for owner in OWNERS:
        assert await seen(api, owner) == own(owner)
    assert await pid_of(api) != before
    async with database.driver() as driver:  # while nobody has it
        await driver.execute("SELECT pg_terminate_backend($1, 10000)", await pid_of(api))
    try:
        assert await seen(api, "ann") == ["ann"]
    except DatabaseUnavailable:
        assert await seen(api, "ann") == ["ann"]


async def test_binding_costs_a_statement_only_where_another_owner_comes(one: Settings) -> None:
    two = one.model_copy(update={"postgres_pool_size": 2})
    bindings: list[str] = []

    def note(record: Any) -> None:
        if "set_config" in record.query:
            bindings.append(record.query)

    async with Database.open(two, role=Role.API) as api:
        async with api.of("ann").driver() as first, api.of("ben").driver() as second:
            first.add_query_logger(note)
            second.add_query_logger(note)
        for _ in range(5):
            for owner in ("ann", "ben"):
                assert await seen(api, owner) == [owner]
                await api.ask(Question.KEY, "nobody")
        assert bindings == [], "each has a connection that is bound to it"
        assert await seen(api, "") == []
        assert len(bindings) == 1
        assert await seen(api, "ben") == ["ben"]
        assert len(bindings) == 1, "the one that was idle for longest was bound anew"


async def changed_and_failed(api: Database) -> None:
    async with api.of("ann").driver() as driver:
        await driver.execute("UPDATE jobs SET priority = 7")
        await driver.execute("SELECT 1 / 0")


@pytest.mark.parametrize("proxied", [False, True])
async def test_everybody_acts_in_the_role_of_the_process(one: Settings, *, proxied: bool) -> None:
    settings = one.model_copy(update={"listen_notify": not proxied})
    async with Database.open(settings, role=Role.API) as api, api.driver() as driver:
        assert await driver.fetchval("SELECT current_user::text") == Role.API


async def test_behind_a_proxy_a_binding_ends_with_its_transaction(one: Settings) -> None:
    """The next transaction of the connection may be another client's."""
    async with Database.open(one.model_copy(update={"listen_notify": False}), role=Role.API) as api:
        for owner in OWNERS * 2:
            assert await seen(api, owner) == own(owner)
            async with api.of(owner).session() as session:
                assert list((await session.scalars(text(SEEN))).all()) == own(owner)
            async with api._lent(None) as lent:
                assert not await lent.driver.fetchval("SELECT current_setting('gristmill.owner', true)")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await changed_and_failed(api)
        async with api.of("ann").driver() as driver:
            assert await driver.fetchval("SELECT priority FROM jobs") == 0
            await driver.execute("UPDATE jobs SET priority = 7")
        assert [row.priority for row in await list_jobs(api.of("ann"), owner="ann", limit=9)] == [7]
