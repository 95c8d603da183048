"""Where the schema stands and where it should.

Alembic is imported where it is used: the API asks for revisions only, and does without its 12 MB.
"""

import ast
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.db.engine import Database, unavailable
from gristmill.db.logins import check_roles, let_log_in
from gristmill.errors import ConfigurationError, DatabaseUnavailable
from gristmill.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "SELECT version_num FROM alembic_version"
# A schema from before there were roles does not show it to them, and is as good as none.
HAS_REVISION = "SELECT coalesce(has_table_privilege(to_regclass('alembic_version'), 'SELECT'), false)"


def alembic_config(settings: Settings | None = None) -> "Config":
    """Alembic's configuration for the scripts of this checkout (or of the image's working folder).

    Raises:
        ConfigurationError: there is no `alembic.ini` where one is looked for.
    """
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config(_home() / "alembic.ini")
    config.attributes["settings"] = settings
    return config


def head_revision() -> str:
    """The revision that this code was written for: the one that no other comes after."""
    after: dict[str, object] = {}
    for script in (_home() / "migrations" / "versions").glob("*.py"):
        names = _constants(script)
        after[str(names["revision"])] = names["down_revision"]
    heads = set(after) - set(after.values())
    if len(heads) != 1:
        raise ConfigurationError(f"There is not one newest migration but {len(heads)}")
    return heads.pop()


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
        ConfigurationError: roles are missing, and this login may not make them.
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    from alembic import command  # noqa: PLC0415 - see above

    # Alembic runs an event loop of its own, so it gets a thread of its own.
    settings = settings.for_migration()
    try:
        await check_roles(settings)
        await asyncio.to_thread(command.upgrade, alembic_config(settings), "head")
        await let_log_in(settings)
    except Exception as error:
        lost = error if isinstance(error, DatabaseUnavailable) else unavailable(error)
        if lost is None:
            raise
        raise DatabaseUnavailable(
            f"PostgreSQL at {settings.postgres_host}:{settings.postgres_port} can't be migrated: {lost.detail}"
        ) from error


def _home() -> Path:
    for folder in (Path.cwd(), Path(__file__).parents[3]):
        if (folder / "alembic.ini").is_file() and (folder / "migrations").is_dir():
            return folder
    raise ConfigurationError("alembic.ini and migrations/ are not here; run this from the checkout")


def _constants(script: Path) -> dict[str, object]:
    """The constants that a migration sets, by name; nothing of it is run."""
    return {
        target.id: node.value.value
        for node in ast.parse(script.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
