"""The migrations and the models say the same, and every step can be taken back."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gristmill.db import fence, functions
from gristmill.db.engine import Database, database_url
from gristmill.db.migrations import alembic_config, current_revision, head_revision
from gristmill.db.models import Table
from gristmill.embedded import Endpoints
from gristmill.settings import Settings, load_settings
from tests.databases import made

# Everything that makes a schema: columns with types and defaults, constraints, indexes, sequences, table options.
CATALOG = """
SELECT 'column', table_name || '.' || column_name,
    concat_ws(' ', udt_name, is_nullable, column_default, identity_generation)
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL
SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
UNION ALL
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL
SELECT 'sequence', sequencename, concat_ws(' ', data_type, increment_by, cycle) FROM pg_sequences
WHERE schemaname = 'public'
UNION ALL
SELECT 'options', relname, array_to_string(reloptions, ',') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reloptions IS NOT NULL
UNION ALL
SELECT 'function', oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(oid), proacl) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public'
UNION ALL
SELECT 'policy', tablename || '.' || policyname, concat_ws(' ', permissive, roles, cmd, qual, with_check)
FROM pg_policies WHERE schemaname = 'public'
UNION ALL
SELECT 'row security', relname, concat_ws(' ', relrowsecurity, relforcerowsecurity) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
UNION ALL
SELECT 'grant', concat_ws('.', relname, attname), concat_ws(' ', grantee::regrole, privilege_type)
FROM (
    SELECT relname, NULL AS attname, relacl AS acl, relnamespace FROM pg_class
    UNION ALL SELECT relname, attname, attacl, relnamespace FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
) AS granted, aclexplode(acl)
WHERE relnamespace = 'public'::regnamespace AND grantee <> current_user::regrole AND relname <> 'alembic_version'
"""


async def catalog(settings: Settings) -> set[tuple[str, str, str]]:
    async with Database.open(settings) as database, database.driver() as driver:
        return {tuple(row) for row in await driver.fetch(CATALOG)}


@pytest.fixture
async def empty(endpoints: Endpoints) -> AsyncIterator[Settings]:
    """Settings for a database with nothing in it."""
    async with made(endpoints, "empty") as name:
        yield load_settings({**endpoints.environment(), "POSTGRES_DB": name}, env_file=None)


async def test_models_and_migrations_make_the_same_schema(settings: Settings, empty: Settings) -> None:
    assert functions.ENQUEUE, "the functions are made with the tables"
    assert fence.GRANTS, "and so is the fence"
    engine = create_async_engine(database_url(empty))
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
    await engine.dispose()
    made_by_models = await catalog(empty)
    made_by_migrations = await catalog(settings)
    assert made_by_models == made_by_migrations
    assert {kind for kind, _, _ in made_by_models} == {
        "column",
        "constraint",
        "index",
        "sequence",
        "options",
        "function",
        "view",
        "policy",
        "row security",
        "grant",
    }


async def test_every_migration_goes_down_and_up_again(settings: Settings) -> None:
    before = await catalog(settings)
    config = alembic_config(settings)
    await asyncio.to_thread(command.downgrade, config, "base")
    assert await catalog(settings) == set()
    await asyncio.to_thread(command.upgrade, config, "head")
    assert await catalog(settings) == before


async def test_alembic_finds_no_drift(settings: Settings) -> None:
    await asyncio.to_thread(command.check, alembic_config(settings))


def test_the_head_is_the_one_that_alembic_sees() -> None:
    assert head_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


async def test_the_revision_is_known(database: Database, empty: Settings) -> None:
    assert await current_revision(database) == head_revision()
    async with Database.open(empty) as fresh:
        assert await current_revision(fresh) is None


async def test_an_empty_database_is_empty(empty: Settings) -> None:
    assert await catalog(empty) == set()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE jobs SET status = 'running'", "running_is_leased"),
        ("UPDATE jobs SET lease = 1", "running_is_leased"),
        ("UPDATE jobs SET status = 'completed', manifest = '{}'", "final_is_dated"),
        ("UPDATE jobs SET status = 'completed', finished_at = now()", "completed_has_a_result"),
        ("UPDATE jobs SET status = 'failed', finished_at = now()", "failed_says_why"),
        ("UPDATE jobs SET attempt = max_attempts + 1", "attempts"),
        ("UPDATE jobs SET owner = ''", "owner"),
        ("UPDATE jobs SET status = 'lost'", "status"),
        ("UPDATE jobs SET blocked = true, status = 'canceled', finished_at = now()", "blocked_is_pending"),
        ("UPDATE datasets SET rows_read = 3, rows_loaded = 1, rows_rejected = 1", "row_conservation"),
        ("UPDATE datasets SET status = 'ready'", "ready_is_complete"),
        ("UPDATE datasets SET status = 'failed'", "failed_says_why"),
        ("UPDATE datasets SET sha256 = 'x'", "original"),
    ],
)
async def test_a_row_that_breaks_an_invariant_is_refused(database: Database, statement: str, constraint: str) -> None:
    async with database.session() as session:
        await session.execute(
            text(
                "INSERT INTO datasets (owner, name, format, original_key, media_type, size_bytes, sha256)"
                " VALUES ('o', 'n', 'csv', 'k', 'text/csv', 1, repeat('0', 64))"
            )
        )
        await session.execute(
            text(
                "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, max_attempts, timeout_s)"
                " SELECT 'o', 'metrics', 1, id, '{}', 3, 60 FROM datasets"
            )
        )
    async with database.driver() as driver:
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            await driver.execute(statement)
