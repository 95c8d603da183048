"""Promise: whatever a statement of the API says, it reaches one owner's rows; and nobody has more rights than he needs.

The tables are those of the catalog, so that a new one with an owner can't be forgotten.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from gristmill.db.engine import Database
from gristmill.db.fence import GRANTS, LABEL_VIEWS, label_view, standing
from gristmill.db.models import Table
from gristmill.db.questions import Question
from gristmill.domain.role import Role
from gristmill.settings import Settings
from tests.db.owned import ROWS, give

OWNED = """
SELECT relname, relrowsecurity, ARRAY (SELECT polname FROM pg_policy WHERE polrelid = pg_class.oid ORDER BY polname)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'owner'
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
"""
# Functions that run as who owns the tables, and whether everybody may call them.
DEFINERS = """
SELECT proname, has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prosecdef
"""

KEPT_FROM_API = (
    "SELECT secret_sha256 FROM api_keys",
    "UPDATE api_keys SET revoked_at = NULL",
    "SELECT FROM audit_events",
    "DELETE FROM datasets",
    "UPDATE job_events SET type = 'completed'",
    "SELECT nextval('job_leases')",
    "SELECT FROM rate_claims",
    "SELECT job_id FROM lost_attempts",
    "UPDATE workers SET heartbeat_at = now()",
    "TRUNCATE jobs",
    "CREATE TABLE mine (id int)",
    "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON jobs USING (true)",
    "DROP TABLE jobs",
    "CREATE FUNCTION mine () RETURNS int LANGUAGE sql RETURN 1",
)
KEPT_FROM_WORKERS = (
    "SELECT secret_sha256 FROM api_keys",
    "SELECT * FROM gristmill_key('k')",
    "UPDATE webhooks SET url = 'https://example.org'",
    "INSERT INTO queue_limits (scope, name) VALUES ('all', '')",
    "DELETE FROM datasets",
    "SELECT FROM audit_events",
    "TRUNCATE jobs",
    "CREATE TABLE mine (id int)",
    "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
)


@pytest.fixture
async def api(settings: Settings, database: Database) -> AsyncIterator[Database]:
    """The API's connections to a database in which ann and ben have a row of everything, and may do everything: so it
    is the fence alone that holds.
    """
    async with database.driver() as driver:
        await give(driver, "ann", "ben")
        await driver.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {Role.API}")
    async with Database.open(settings, role=Role.API) as opened:
        yield opened


async def test_every_table_with_an_owner_is_fenced(database: Database) -> None:
    async with database.driver() as driver:
        found = await driver.fetch(OWNED)
    policies = ["of_all_owners", "of_its_owner"]
    assert [tuple(row) for row in found] == [(name, True, policies) for name in sorted(ROWS)]


def test_every_table_says_who_may_touch_it() -> None:
    assert set(GRANTS) == set(Table.metadata.tables)


async def test_a_statement_without_a_condition_reaches_one_owners_rows(api: Database) -> None:
    async with api.of("ann").driver() as driver:
        transaction = driver.transaction()
        await transaction.start()
        for table in reversed(ROWS):
            for statement in ("SELECT owner FROM {}", "UPDATE {} SET owner = owner RETURNING owner"):
                assert owners(await driver.fetch(statement.format(table))) == ["ann"], (table, statement)
            assert owners(await driver.fetch(f"DELETE FROM {table} RETURNING owner")) == ["ann"], table  # noqa: S608 (ours)
        await transaction.rollback()


def owners(rows: list[asyncpg.Record]) -> list[str]:
    return [row["owner"] for row in rows]


async def test_who_is_bound_to_nobody_sees_nothing(api: Database) -> None:
    async with api.driver() as driver:
        for table in ROWS:
            assert await driver.fetch(f"SELECT FROM {table}") == [], table
    async with api.of("ann").driver():
        pass
    async with api.driver() as driver:
        assert await driver.fetch("SELECT FROM jobs") == [], "after somebody was"


@pytest.mark.parametrize("bound", ["ann", ""])
async def test_nobody_makes_rows_of_another_owner(api: Database, bound: str) -> None:
    async with api.of(bound).driver() as driver:
        for statement in ROWS.values():
            for owner in ("ben", ""):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                    await driver.execute(statement, owner)


async def test_nobody_gives_a_row_away(api: Database) -> None:
    async with api.of("ann").driver() as driver:
        for table in ROWS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await driver.execute(f"UPDATE {table} SET owner = 'ben'")  # noqa: S608 (ours)


async def test_the_views_of_labels_show_the_same(api: Database, database: Database) -> None:
    for table in LABEL_VIEWS:
        seen = f"SELECT FROM {label_view(table)}"
        for reader, rows in ((api.of("ann"), 1), (api, 0), (database, 2)):
            async with reader.driver() as driver:
                assert len(await driver.fetch(seen)) == rows, table


async def test_what_goes_around_the_fence_is_a_closed_list(database: Database) -> None:
    async with database.driver() as driver:
        found = await driver.fetch(DEFINERS)
    assert {tuple(row) for row in found} == {(question.value.name, False) for question in Question}


async def allowed(settings: Settings, role: Role, statements: tuple[str, ...]) -> list[str]:
    """Those of the statements that are not refused for lack of rights."""
    found = []
    async with Database.open(settings, role=role) as acting, acting.of("ann").driver() as driver:
        for statement in statements:
            try:
                await driver.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            found.append(statement)
    return found


async def test_the_api_may_do_no_more_than_it_needs(settings: Settings) -> None:
    assert await allowed(settings, Role.API, ("SELECT FROM jobs", *KEPT_FROM_API)) == ["SELECT FROM jobs"]


async def test_a_worker_may_do_no_more_than_it_needs(settings: Settings) -> None:
    assert await allowed(settings, Role.WORKER, ("SELECT FROM jobs", *KEPT_FROM_WORKERS)) == ["SELECT FROM jobs"]


async def test_a_worker_sees_the_rows_of_all_owners(settings: Settings, database: Database) -> None:
    async with database.driver() as driver:
        await give(driver, "ann", "ben")
    async with Database.open(settings, role=Role.WORKER) as worker, worker.driver() as driver:
        for table in ROWS:
            if "SELECT" in GRANTS[table].worker:
                assert len(await driver.fetch(f"SELECT FROM {table}")) == 2, table


async def test_how_the_fence_stands_is_told(database: Database) -> None:
    found = await standing(database)
    assert found.roles == tuple(Role)
    assert found.owns_tables
    assert found.open_tables == ()
    async with database.driver() as driver:
        await driver.execute("ALTER TABLE uploads DISABLE ROW LEVEL SECURITY")
        await driver.execute("DROP POLICY of_its_owner ON jobs")
        await driver.execute("DROP POLICY of_all_owners ON jobs")
    assert (await standing(database)).open_tables == ("jobs", "uploads")
