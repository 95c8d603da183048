"""The connections of a process: which are idle, and whose rows each of them is bound to.

The engine makes connections; which of them are idle is known here. Lending one through the engine's own pool costs
three switches of greenlets, as much time as a statement does: 190 us against 10.

A connection stays bound to an owner between uses, so that the fence (`db/fence.py`) costs a statement only where
another owner comes. Behind a proxy that pools transactions there is no "stays": then each use is a transaction, and the
binding is part of it (see `Database`).
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

if TYPE_CHECKING:
    # Generic in the stubs alone.
    Driver = asyncpg.Connection[asyncpg.Record]
else:
    Driver = asyncpg.Connection

BIND = "SELECT set_config('gristmill.owner', $1, false)"

NOBODY = ""


@dataclass(slots=True)
class Lent:
    """A connection, the driver's own under it, and the owner it is bound to; None: that is not known."""

    connection: AsyncConnection
    driver: "Driver"
    bound: str | None = NOBODY

    async def bind(self, owner: str) -> None:
        """Show this owner's rows alone from now on. Where that fails, nobody knows what is shown, and it is asked
        again before the next use.
        """
        if self.bound != owner:
            self.bound = None
            await self.driver.execute(BIND, owner)
            self.bound = owner


class Pool:
    """At most `size` connections."""

    def __init__(self, engine: AsyncEngine, *, size: int) -> None:
        self.engine = engine
        self.slots = asyncio.Semaphore(size)
        self._idle: list[Lent] = []

    async def take(self, owner: str | None = None) -> Lent:
        """An idle connection that lives; else a new one.

        The one that is bound to `owner`, or the one that was idle for longest: the others may be asked for by their
        owners again. None: whichever was used last.
        """
        while self._idle:
            lent = self._idle.pop(self._place(owner))
            if not lent.driver.is_closed():
                return lent
            await throw_away(lent.connection)
        connection = await self.engine.connect()
        try:
            raw = await connection.get_raw_connection()
        except BaseException:
            await throw_away(connection)
            raise
        driver = raw.driver_connection
        assert driver is not None  # noqa: S101 (SQLAlchemy types it optional; a fresh connection has one)
        return Lent(connection, driver)

    def _place(self, owner: str | None) -> int:
        if owner is None:
            return -1
        return next((n for n in range(len(self._idle) - 1, -1, -1) if self._idle[n].bound == owner), 0)

    async def give_back(self, lent: Lent) -> None:
        if lent.driver.is_in_transaction():
            await throw_away(lent.connection)
        else:
            self._idle.append(lent)

    async def close(self, *, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                while self._idle:
                    await self._idle.pop().connection.close()
                await self.engine.dispose()
        except TimeoutError:
            await self.engine.dispose(close=False)


async def throw_away(connection: AsyncConnection) -> None:
    """Drop the connection without asking the server, which may not answer."""
    raw = await connection.get_raw_connection() if not connection.invalidated else None
    if raw is not None and raw.driver_connection is not None:
        raw.driver_connection.terminate()
    await asyncio.shield(connection.invalidate())
    await asyncio.shield(connection.close())
