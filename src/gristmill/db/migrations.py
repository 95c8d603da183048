"""Where the schema stands and where it should: Alembic, told where its scripts are."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from gristmill.db.engine import Database, unavailable
from gristmill.errors import ConfigurationError, DatabaseUnavailable
from gristmill.settings import Settings

REVISION = "SELECT version_num FROM alembic_version"
HAS_REVISION = "SELECT to_regclass('alembic_version') IS NOT NULL"


def alembic_config(settings: Settings | None = None) -> Config:
    """Alembic's configuration for the scripts of this checkout (or of the image's working folder).

    Raises:
        ConfigurationError: there is no `alembic.ini` where one is looked for.
    """
    for folder in (Path.cwd(), Path(__file__).parents[3]):
        ini = folder / "alembic.ini"
        if ini.is_file() and (folder / "migrations").is_dir():
            config = Config(ini)
            config.attributes["settings"] = settings
            return config
    raise ConfigurationError("alembic.ini and migrations/ are not here; run this from the checkout")


def head_revision() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise ConfigurationError("There are no migrations")
    return head


async def current_revision(database: Database) -> str | None:
    """The revision of the database; None when it was never migrated."""
    async with database.driver() as driver:
        if not await driver.fetchval(HAS_REVISION):
            return None
        revision: str | None = await driver.fetchval(REVISION)
        return revision


async def upgrade(settings: Settings) -> None:
    """Bring the database to the head revision; two that do it at once take turns.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    # Alembic runs an event loop of its own, so it gets a thread of its own.
    try:
        await asyncio.to_thread(command.upgrade, alembic_config(settings), "head")
    except Exception as error:
        lost = unavailable(error)
        if lost is None:
            raise
        raise DatabaseUnavailable(
            f"PostgreSQL at {settings.postgres_host}:{settings.postgres_port} can't be migrated: {lost.detail}"
        ) from error
