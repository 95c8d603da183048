"""What has to be there before the API and a worker can run: settings, services, schema, buckets, a first key."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dotenv import dotenv_values

from gristmill import embedded
from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.db.migrations import upgrade
from gristmill.domain.key import bootstrap_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings

DATA_FOLDER = Path(".gristmill")


@contextmanager
def configured(folder: Path = DATA_FOLDER, *, env_file: Path = Path(".env")) -> Iterator[Settings]:
    """The settings; where they name no PostgreSQL or no S3, this machine's own are held for as long as we are in here.

    Raises:
        ConfigurationError: settings are missing or wrong.
        EmbeddedServiceError: a service of this machine can't be started.
    """
    with ExitStack() as stack:
        missing = _services_not_named(_named(env_file))
        overrides: dict[str, str] = {}
        if missing:
            endpoints = stack.enter_context(embedded.hold(folder))
            # They win: a password in .env belongs to a deployment whose host is named elsewhere.
            overrides = {name: value for name, value in endpoints.environment().items() if name.startswith(missing)}
        yield load_settings(overrides, env_file=env_file)


def _named(env_file: Path) -> Mapping[str, str | None]:
    return {**dotenv_values(env_file), **os.environ}


def _services_not_named(given: Mapping[str, str | None]) -> tuple[str, ...]:
    """The prefixes of the settings that the embedded services fill in: a half-named service is not mixed with ours."""
    services = {"POSTGRES_": "POSTGRES_HOST", "S3_": "S3_ENDPOINT_URL"}
    return tuple(prefix for prefix, name in services.items() if not given.get(name))


async def prepare(settings: Settings) -> None:
    """Migrate the database, create the buckets and the bootstrap key; nothing happens to what is there already."""
    await upgrade(settings)
    async with ObjectStore.open(settings) as store:
        await store.ensure_buckets()
    await add_bootstrap_key(settings)


async def add_bootstrap_key(settings: Settings) -> None:
    if settings.bootstrap_api_key is None:
        return
    key = bootstrap_key(settings.bootstrap_api_key.get_secret_value())
    async with Database.open(settings.for_migration()) as database:
        await add_key(database, key)
