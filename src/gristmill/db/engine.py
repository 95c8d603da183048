"""One pool a process, and how its connections are lent.

Two ways to speak over the same connections: `session()` lends an SQLAlchemy connection for statements that vary
(lists with filters), `driver()` lends the asyncpg connection under it for fixed statements on the hot path.
Both put one deadline around everything, waiting for a connection included: asyncpg can hang past its own time-out on
a frozen server, because its cancel opens a connection without a limit. A connection that misses the deadline is thrown
away, never returned.

Every connection takes the role of its process, and in the API's role shows one owner's rows at a time: what row-level
security lets through (`db/fence.py`), whatever the statement says.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum, auto
from types import TracebackType
from typing import Any

import asyncpg
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from gristmill import metrics
from gristmill.db.pool import NOBODY, Driver, Lent, Pool, throw_away
from gristmill.db.questions import Question
from gristmill.domain.role import Role
from gristmill.errors import DatabaseUnavailable, GristmillError, NotReady
from gristmill.settings import Settings

__all__ = ["Database", "Driver", "connect_options", "database_url", "unavailable"]

BIND_LOCAL = "SELECT set_config('role', $1, true), set_config('gristmill.owner', $2, true)"
_BIND_SESSION = text("SELECT set_config('role', :role, true), set_config('gristmill.owner', :owner, true)")

# An unknown role is an invalid value of a parameter, one that the login is no member of is a lack of privilege.
ROLE_STATES = frozenset({"22023", "42501"})

# What another try may cure: connection exceptions, shutdowns and restarts, serialization failures, deadlocks,
# too many connections, a cancelled statement.
RETRYABLE_SQLSTATES = ("08", "57P01", "57P02", "57P03", "57014", "40001", "40P01", "53", "25006", "55P03")

_CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,
)


def database_url(settings: Settings) -> URL:
    return URL.create(
        "postgresql+asyncpg",
        username=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        host=settings.postgres_host,
        port=settings.postgres_port,
        database=settings.postgres_db,
    )


def connect_options(settings: Settings, *, application: str, role: Role | None = None) -> dict[str, Any]:
    """Keyword arguments of `asyncpg.connect` that every connection of ours has.

    No prepared-statement cache assumptions are made when LISTEN is off: behind a transaction-pooling proxy the next
    transaction may run on another server connection. Nor does such a proxy let a connection choose its role.
    """
    pooled_by_proxy = not settings.listen_notify
    chosen = {"application_name": application} | ({} if role is None else {"role": role.value})
    options: dict[str, Any] = {
        "timeout": settings.postgres_deadline_s,
        "server_settings": {} if pooled_by_proxy else chosen,
    }
    if pooled_by_proxy:
        options["statement_cache_size"] = 0
    return options


def unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """The error as ours when it says that the database can't be reached or lost its footing, else None."""
    cause: BaseException | None = error
    if isinstance(error, GristmillError):
        return None  # ours already, whatever lies beneath it
    if isinstance(error, PoolTimeoutError | TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time")
    if isinstance(error, DBAPIError):
        cause = error.orig
        if error.connection_invalidated:
            return DatabaseUnavailable("The connection to PostgreSQL was lost")
    while cause is not None:
        if isinstance(cause, asyncpg.PostgresError):
            state = cause.sqlstate or ""
            return _lost() if state.startswith(RETRYABLE_SQLSTATES) else None
        if isinstance(cause, _CONNECTION_ERRORS):
            return _lost()
        cause = cause.__cause__
    return _lost() if isinstance(error, OperationalError) else None


def roleless(error: BaseException) -> NotReady | None:
    """The error as ours when it says that the login may not take its role, or that there is none such; else None."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    while cause is not None:
        if (
            isinstance(cause, asyncpg.PostgresError)
            and cause.sqlstate in ROLE_STATES
            and any(f'"{role}"' in str(cause) for role in Role)
        ):
            return NotReady("The database's roles are missing, or not granted to this login: see `gristmill doctor`")
        cause = cause.__cause__
    return None


def _lost() -> DatabaseUnavailable:
    return DatabaseUnavailable("PostgreSQL is not reachable at the moment")


class Database:
    """The process's connections. Everything that takes longer than `deadline_s` raises `DatabaseUnavailable`.

    In the API's role it shows nobody's rows; `of(owner)` shows that owner's. In the worker's role, or in none, it shows
    what the role may see.
    """

    def __init__(self, pool: Pool, *, deadline_s: float, binding: "Binding", owner: str = NOBODY) -> None:
        self.deadline_s = deadline_s
        self._pool = pool
        self._binding = binding
        self._owner = owner

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, application: str = "gristmill", role: Role | None = None
    ) -> AsyncIterator["Database"]:
        """Make the pool. Nothing is connected until it is used, so a dead server is an error of the first use.

        None: it speaks as whoever logs in.
        """
        engine = create_async_engine(
            database_url(settings),
            pool_size=settings.postgres_pool_size,
            max_overflow=0,
            pool_timeout=settings.postgres_deadline_s,
            connect_args=_sqlalchemy_options(settings, application=application, role=role),
            hide_parameters=True,
            # JSON stays text on the way in and out: who needs what is in it decodes it by type.
            json_serializer=str,
            json_deserializer=str,
        )
        pool = Pool(engine, size=settings.postgres_pool_size)
        binding = Binding.NONE
        if role is Role.API:
            binding = Binding.OF_CONNECTIONS if settings.listen_notify else Binding.OF_TRANSACTIONS
        try:
            yield cls(pool, deadline_s=settings.postgres_deadline_s, binding=binding)
        finally:
            await pool.close(deadline_s=settings.postgres_deadline_s)

    def of(self, owner: str) -> "Database":
        """The same connections, with one owner's rows to be seen."""
        return Database(self._pool, deadline_s=self.deadline_s, binding=self._binding, owner=owner)

    @asynccontextmanager
    async def session(self, *, deadline_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in one transaction: committed at the end, rolled back on any exception.

        Raises:
            DatabaseUnavailable: no connection, a lost one, or the deadline passed.
            NotReady: the login may not take its role.
        """
        async with self._lent(deadline_s) as lent, lent.connection.begin():
            if self._binding is Binding.OF_TRANSACTIONS:
                await lent.connection.execute(_BIND_SESSION, {"role": Role.API, "owner": self._owner})
            yield lent.connection

    def driver(self, *, deadline_s: float | None = None) -> AbstractAsyncContextManager["Driver"]:
        """Lend the asyncpg connection itself, in autocommit: each statement is its own transaction. Behind a proxy that
        pools transactions, the API's are one.

        Raises:
            DatabaseUnavailable: no connection, a lost one, or the deadline passed.
            NotReady: the login may not take its role.
        """
        if self._binding is Binding.OF_TRANSACTIONS:
            return self._driver_in_transaction(deadline_s)
        return _DriverOf(self._lent(deadline_s))

    @asynccontextmanager
    async def _driver_in_transaction(self, deadline_s: float | None) -> AsyncIterator["Driver"]:
        async with self._lent(deadline_s) as lent, lent.driver.transaction():
            await lent.driver.execute(BIND_LOCAL, Role.API, self._owner)
            yield lent.driver

    async def ask(self, question: Question, *arguments: object) -> list[asyncpg.Record]:
        """Ask what one owner's rows do not answer (`db/questions.py`), on any connection, whoever it is bound to.

        Raises:
            DatabaseUnavailable: no connection, a lost one, or the deadline passed.
            NotReady: the login may not take its role.
        """
        async with self._lent(None, bind=False) as lent:
            return await lent.driver.fetch(question.statement, *arguments)

    @asynccontextmanager
    async def _lent(self, deadline_s: float | None, *, bind: bool = True) -> AsyncIterator[Lent]:
        """`bind`: to this owner, where connections are bound at all."""
        lent: Lent | None = None
        bind = bind and self._binding is Binding.OF_CONNECTIONS
        began, outcome = time.perf_counter(), "ok"
        try:
            async with asyncio.timeout(deadline_s or self.deadline_s), self._pool.slots:
                lent = await self._pool.take(self._owner if bind else None)
                try:
                    if bind:
                        await lent.bind(self._owner)
                    yield lent
                except BaseException as error:
                    if _is_dirty(error):
                        await throw_away(lent.connection)
                        lent = None
                    raise
                finally:
                    if lent is not None:
                        await self._pool.give_back(lent)
        except BaseException as error:
            known = roleless(error) or unavailable(error)
            if known is not None:
                outcome = "unavailable"
                raise known from error
            raise
        finally:
            metrics.DATABASE_SECONDS.observe(time.perf_counter() - began, outcome)


class _DriverOf:
    """The driver of a connection that is lent. A generator around a generator would cost each statement some 10 us."""

    __slots__ = ("_lent",)

    def __init__(self, lent: AbstractAsyncContextManager[Lent]) -> None:
        self._lent = lent

    async def __aenter__(self) -> "Driver":
        return (await self._lent.__aenter__()).driver

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._lent.__aexit__(kind, error, trace)


class Binding(Enum):
    """How connections learn whose rows they show."""

    NONE = auto()
    OF_CONNECTIONS = auto()
    OF_TRANSACTIONS = auto()


def _is_dirty(error: BaseException) -> bool:
    """Whether the connection may be in the middle of something: cancelled, timed out, or lost."""
    return isinstance(error, asyncio.CancelledError | TimeoutError | GeneratorExit) or unavailable(error) is not None


def _sqlalchemy_options(settings: Settings, *, application: str, role: Role | None) -> dict[str, Any]:
    options = connect_options(settings, application=application, role=role)
    if options.get("statement_cache_size") == 0:
        options["prepared_statement_cache_size"] = 0
    return options
