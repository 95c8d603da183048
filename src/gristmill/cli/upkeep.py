"""The schema, the buckets, the secrets: what is set up once, and what changes it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli.server import DATA_FOLDER, DEMO_FOLDER, DataFolder, with_settings

if TYPE_CHECKING:
    from gristmill.settings import Settings


def migrate(data: DataFolder = DATA_FOLDER) -> None:
    """Bring the database's schema to this version, and make sure that the bootstrap key exists."""
    from gristmill.bootstrap import add_bootstrap_key
    from gristmill.db.migrations import upgrade

    async def work(settings: "Settings") -> None:
        await upgrade(settings)
        await add_bootstrap_key(settings)

    with_settings(data, work)


def buckets(data: DataFolder = DATA_FOLDER) -> None:
    """Create the two buckets where they are missing."""
    from gristmill.objects import ObjectStore

    async def work(settings: "Settings") -> None:
        async with ObjectStore.open(settings) as store:
            await store.ensure_buckets()

    with_settings(data, work)


def migration(
    message: Annotated[str, typer.Option("-m", "--message", help="What changes, in a few words.")],
    data: DataFolder = DATA_FOLDER,
) -> None:
    """Write a new migration from the difference between the models and the database."""
    import asyncio

    from alembic import command

    from gristmill.bootstrap import configured
    from gristmill.db.migrations import alembic_config, upgrade

    with configured(data) as settings:
        asyncio.run(upgrade(settings))
        command.revision(alembic_config(settings), message, autogenerate=True)


def check_migrations(data: DataFolder = DATA_FOLDER) -> None:
    """Fail when the models say something that no migration does."""
    import asyncio

    from alembic import command

    from gristmill.bootstrap import configured
    from gristmill.db.migrations import alembic_config, upgrade

    with configured(data) as settings:
        asyncio.run(upgrade(settings))
        command.check(alembic_config(settings))


def reset(data: DataFolder = DATA_FOLDER) -> None:
    """Wipe this machine's own PostgreSQL and S3 with all that is in them, and the demo's."""
    from gristmill import embedded

    for folder in (data, DEMO_FOLDER):
        embedded.reset(folder)


def write_secrets(file: Annotated[Path, typer.Option(help="Where to write them.")] = Path(".env")) -> None:
    """Write generated passwords and a first API key for a deployment; an existing file stays as it is."""
    import secrets

    from gristmill.domain.key import Scope, make_key

    if file.exists():
        typer.echo(f"{file} is there already; nothing was changed")
        return
    token, _ = make_key("admin", tuple(Scope))
    lines = (
        f"POSTGRES_PASSWORD={secrets.token_urlsafe(24)}",
        f"POSTGRES_API_PASSWORD={secrets.token_urlsafe(24)}",
        f"POSTGRES_WORKER_PASSWORD={secrets.token_urlsafe(24)}",
        "MINIO_ROOT_USER=gristmill",
        f"MINIO_ROOT_PASSWORD={secrets.token_urlsafe(24)}",
        f"BOOTSTRAP_API_KEY={token}",
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write("\n".join(lines) + "\n")
    typer.echo(f"Wrote {file} (only you can read it); the first API key is its BOOTSTRAP_API_KEY")
