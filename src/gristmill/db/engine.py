"""One pool a process, and how its connections are lent.

Two ways to speak over the same connections: `session()` lends an SQLAlchemy connection for statements that vary
(lists with filters), `driver()` lends the asyncpg connection under it for fixed statements on the hot path.
Both put one deadline around everything, waiting for a connection included: asyncpg can hang past its own time-out on
a frozen server, because its cancel opens a connection without a limit. A connection that misses the deadline is thrown
away, never returned.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gristmill import metrics
from gristmill.errors import DatabaseUnavailable, GristmillError
from gristmill.settings import Settings

if TYPE_CHECKING:
    # Generic in the stubs alone.
    Driver = asyncpg.Connection[asyncpg.Record]
else:
    Driver = asyncpg.Connection

T = TypeVar("T")

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


def connect_options(settings: Settings, *, application: str) -> dict[str, Any]:
    """Keyword arguments of `asyncpg.connect` that every connection of ours has.

    No prepared-statement cache assumptions are made when LISTEN is off: behind a transaction-pooling proxy the next
    transaction may run on another server connection.
    """
    pooled_by_proxy = not settings.listen_notify
    options: dict[str, Any] = {
        "timeout": settings.postgres_deadline_s,
        "server_settings": {} if pooled_by_proxy else {"application_name": application},
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


def _lost() -> DatabaseUnavailable:
    return DatabaseUnavailable("PostgreSQL is not reachable at the moment")


class Database:
    """The process's pool. Everything that takes longer than `deadline_s` raises `DatabaseUnavailable`.

    The engine makes connections; which of them are idle is known here. Lending one through the engine's own pool costs
    three switches of greenlets, as much time as a statement does: 190 us against 10.
    """

    def __init__(self, engine: AsyncEngine, *, size: int, deadline_s: float) -> None:
        self.engine = engine
        self.deadline_s = deadline_s
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Lent] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, application: str = "gristmill") -> AsyncIterator["Database"]:
        """Make the pool. Nothing is connected until it is used, so a dead server is an error of the first use."""
        engine = create_async_engine(
            database_url(settings),
            pool_size=settings.postgres_pool_size,
            max_overflow=0,
            pool_timeout=settings.postgres_deadline_s,
            connect_args=_sqlalchemy_options(settings, application=application),
            hide_parameters=True,
            # JSON stays text on the way in and out: who needs what is in it decodes it by type.
            json_serializer=str,
            json_deserializer=str,
        )
        database = cls(engine, size=settings.postgres_pool_size, deadline_s=settings.postgres_deadline_s)
        try:
            yield database
        finally:
            await database._close()

    @asynccontextmanager
    async def session(self, *, deadline_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in one transaction: committed at the end, rolled back on any exception.

        Raises:
            DatabaseUnavailable: no connection, a lost one, or the deadline passed.
        """
        async with self._lent(deadline_s, _connection_of) as connection, connection.begin():
            yield connection

    def driver(self, *, deadline_s: float | None = None) -> AbstractAsyncContextManager["Driver"]:
        """Lend the asyncpg connection itself, in autocommit: each statement is its own transaction.

        Raises:
            DatabaseUnavailable: no connection, a lost one, or the deadline passed.
        """
        return self._lent(deadline_s, _driver_of)

    @asynccontextmanager
    async def _lent(self, deadline_s: float | None, used: Callable[["_Lent"], T]) -> AsyncIterator[T]:
        lent: _Lent | None = None
        began, outcome = time.perf_counter(), "ok"
        try:
            async with asyncio.timeout(deadline_s or self.deadline_s), self._slots:
                lent = await self._take()
                try:
                    yield used(lent)
                except BaseException as error:
                    if _is_dirty(error):
                        await _throw_away(lent.connection)
                        lent = None
                    raise
                finally:
                    if lent is not None:
                        await self._give_back(lent)
        except BaseException as error:
            lost = unavailable(error)
            if lost is not None:
                outcome = "unavailable"
                raise lost from error
            raise
        finally:
            metrics.DATABASE_SECONDS.observe(time.perf_counter() - began, outcome)

    async def _take(self) -> "_Lent":
        """The connection used last, if it lives; else a new one."""
        while self._idle:
            lent = self._idle.pop()
            if not lent.driver.is_closed():
                return lent
            await _throw_away(lent.connection)
        connection = await self.engine.connect()
        try:
            raw = await connection.get_raw_connection()
        except BaseException:
            await _throw_away(connection)
            raise
        driver = raw.driver_connection
        assert driver is not None  # noqa: S101 (SQLAlchemy types it optional; a fresh connection has one)
        return _Lent(connection, driver)

    async def _give_back(self, lent: "_Lent") -> None:
        if lent.driver.is_in_transaction():
            await _throw_away(lent.connection)
        else:
            self._idle.append(lent)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self.deadline_s):
                while self._idle:
                    await self._idle.pop().connection.close()
                await self.engine.dispose()
        except TimeoutError:
            await self.engine.dispose(close=False)


class _Lent(NamedTuple):
    """A connection, and the driver's own under it."""

    connection: AsyncConnection
    driver: "Driver"


_connection_of = attrgetter("connection")
_driver_of = attrgetter("driver")


def _is_dirty(error: BaseException) -> bool:
    """Whether the connection may be in the middle of something: cancelled, timed out, or lost."""
    return isinstance(error, asyncio.CancelledError | TimeoutError | GeneratorExit) or unavailable(error) is not None


async def _throw_away(connection: AsyncConnection) -> None:
    """Drop the connection without asking the server, which may not answer."""
    raw = await connection.get_raw_connection() if not connection.invalidated else None
    if raw is not None and raw.driver_connection is not None:
        raw.driver_connection.terminate()
    await asyncio.shield(connection.invalidate())
    await asyncio.shield(connection.close())


def _sqlalchemy_options(settings: Settings, *, application: str) -> dict[str, Any]:
    options = connect_options(settings, application=application)
    if options.get("statement_cache_size") == 0:
        options["prepared_statement_cache_size"] = 0
    return options
