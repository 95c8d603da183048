"""Alembic's environment: async, on the same settings and models as the product."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from gristmill.bootstrap import configured
from gristmill.db.engine import database_url
from gristmill.db.models import Table
from gristmill.settings import Settings

# Two processes that migrate at once take turns: the key is any number that only we use.
MIGRATION_LOCK = 7_203_114


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        context.run_migrations()


async def run_online(settings: Settings) -> None:
    engine = create_async_engine(database_url(settings.for_migration()), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await engine.dispose()


def run_offline() -> None:
    """Write the SQL instead of running it (`alembic upgrade head --sql`)."""
    context.configure(dialect_name="postgresql", target_metadata=Table.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Migrate with the settings we were given, or as `gristmill` itself would find them."""
    given: Settings | None = context.config.attributes.get("settings")
    if given is not None:
        asyncio.run(run_online(given))
        return
    with configured() as settings:
        asyncio.run(run_online(settings))


if context.is_offline_mode():
    run_offline()
else:
    run()
