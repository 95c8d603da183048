"""Promise: the roles are made where that may be, else it is said what to run; and each login has what its role has."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from gristmill import doctor
from gristmill.cli.server import owning
from gristmill.db.engine import Database
from gristmill.db.fence import standing
from gristmill.db.keys import list_keys
from gristmill.db.logins import check_roles, let_log_in
from gristmill.db.questions import Question
from gristmill.domain.key import KeyUse
from gristmill.domain.role import Role
from gristmill.embedded import Endpoints
from gristmill.errors import ConfigurationError, NotReady
from gristmill.settings import Settings, load_settings
from tests.conftest import FOLDER, ROOT
from tests.databases import ruling
from tests.db.owned import ROWS

PASSWORD = "a'b\\c $"


def as_login(settings: Settings, name: str, password: str = PASSWORD) -> Settings:
    return settings.model_copy(update={"postgres_user": name, "postgres_password": SecretStr(password)})


@pytest.fixture
async def ruler(endpoints: Endpoints, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection. What it makes of roles is for the whole server, so each test takes it back."""
    async with ruling(endpoints, FOLDER, settings.postgres_db) as (connection, _):
        yield connection


@pytest.fixture
async def login(ruler: asyncpg.Connection) -> AsyncIterator[str]:
    name = f"login_{uuid4().hex[:8]}"
    quoted = PASSWORD.replace("'", "''")
    await ruler.execute(f"CREATE ROLE {name} LOGIN PASSWORD E'{quoted.replace(chr(92), chr(92) * 2)}'")
    yield name
    await ruler.execute(f"DROP ROLE {name}")


async def test_a_login_without_the_roles_is_told_so(settings: Settings, login: str) -> None:
    async with Database.open(as_login(settings, login), role=Role.API) as api:
        with pytest.raises(NotReady, match="roles"):
            await api.ask(Question.KEYS_EXIST)
    lacking = {finding.name: finding for finding in await doctor.examine(as_login(settings, login))}
    assert not lacking["fence"].well
    assert lacking["fence"].seen == f"{login} may act as none of gristmill_api, gristmill_worker"
    fence = next(finding for finding in await doctor.examine(settings) if finding.name == "fence")
    assert (fence.well, fence.seen) == (
        True,
        "gristmill acts as gristmill_api or gristmill_worker, and owns the tables",
    )


async def test_keys_are_for_who_owns_the_tables(settings: Settings, login: str) -> None:
    alone = as_login(settings, login).model_copy(update={"postgres_migration_user": None})
    with pytest.raises(ConfigurationError, match="POSTGRES_MIGRATION_USER"):
        await known_keys(alone)
    assert await known_keys(as_login(settings, login)) == []


async def known_keys(settings: Settings) -> list[KeyUse]:
    async with owning(settings) as database:
        return await list_keys(database)


async def test_a_login_of_its_own_has_one_role_and_no_other(
    settings: Settings, login: str, ruler: asyncpg.Connection, database: Database
) -> None:
    await ruler.execute(f"GRANT {Role.API} TO {login}")
    async with database.driver() as driver:
        await driver.execute(ROWS["jobs"], "ann")
    async with Database.open(as_login(settings, login), role=Role.API) as api:
        for owner, seen in (("ann", 1), ("ben", 0)):
            async with api.of(owner).driver() as driver:
                assert len(await driver.fetch("SELECT FROM jobs")) == seen
        async with api.of("ben").driver() as driver:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await driver.execute(f"SET ROLE {Role.WORKER}")
            await driver.execute("SET ROLE NONE")
            assert await driver.fetch("SELECT FROM jobs") == [], "nor has the login itself more"
            await driver.execute(f"SET ROLE {Role.API}")
    async with Database.open(as_login(settings, login)) as plain:
        assert (await standing(plain)).roles == (Role.API,)


async def test_roles_are_let_log_in_with_the_passwords_that_are_given(
    endpoints: Endpoints, settings: Settings, ruler: asyncpg.Connection
) -> None:
    async with ruling(endpoints, FOLDER, settings.postgres_db) as (_, password):
        ruled = as_login(settings, "postgres", password)
    given = ruled.model_copy(update={"postgres_api_password": SecretStr(PASSWORD)})
    try:
        await let_log_in(given)
        async with Database.open(as_login(settings, Role.API.value), role=Role.API) as api:
            ((exist,),) = await api.ask(Question.KEYS_EXIST)
            assert not exist
        assert not await ruler.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", Role.WORKER)
        await let_log_in(given.model_copy(update={"postgres_api_password": SecretStr("another")}))
        async with Database.open(as_login(settings, Role.API.value), role=Role.API) as api:
            with pytest.raises(DBAPIError, match="password"):
                await api.ask(Question.KEYS_EXIST)
        with pytest.raises(ConfigurationError, match="ASCII"):
            await let_log_in(given.model_copy(update={"postgres_api_password": SecretStr("pässword")}))
    finally:
        await ruler.execute(f"ALTER ROLE {Role.API} NOLOGIN PASSWORD NULL")


async def test_who_may_not_set_passwords_is_told_so(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=Role.WORKER):
        await let_log_in(settings.model_copy(update={"postgres_worker_password": SecretStr(PASSWORD)}))


async def test_roles_that_are_missing_are_named_with_what_makes_them(settings: Settings) -> None:
    await check_roles(settings)
    with pytest.raises(ConfigurationError, match=r"CREATE ROLE lacking NOLOGIN;\n  GRANT lacking TO gristmill;"):
        await check_roles(settings, ["lacking"])


async def test_the_migration_makes_them_once_where_it_may(settings: Settings, ruler: asyncpg.Connection) -> None:
    (script,) = (ROOT / "migrations" / "versions").glob("*_fence.py")
    made: dict[str, str] = {}
    exec(compile(script.read_text("utf-8"), script.name, "exec"), made)  # noqa: S102 (our own migration)
    names = {role: f"{role}_{uuid4().hex[:8]}" for role in Role}
    statement = made["ROLES"]
    for role, name in names.items():
        statement = statement.replace(f"'{role}'", f"'{name}'")
    async with Database.open(settings) as database, database.driver() as driver:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=names[Role.API]):
            await driver.execute(statement)
    try:
        for _ in range(2):
            await ruler.execute(statement)
        there = await ruler.fetch("SELECT rolcanlogin FROM pg_roles WHERE rolname = ANY ($1)", list(names.values()))
        assert [row["rolcanlogin"] for row in there] == [False, False]
    finally:
        for name in names.values():
            await ruler.execute(f"DROP ROLE IF EXISTS {name}")


def test_the_login_that_migrates_may_be_another(settings: Settings) -> None:
    given = settings.environment() | {"POSTGRES_USER": "some", "POSTGRES_PASSWORD": "thing"}
    both = load_settings(given, env_file=None)
    assert (both.postgres_user, both.for_migration().postgres_user) == ("some", "gristmill")
    with pytest.raises(ConfigurationError, match="POSTGRES_MIGRATION_PASSWORD"):
        load_settings({name: value for name, value in given.items() if name != "POSTGRES_MIGRATION_PASSWORD"})
