"""Hears NOTIFY on a connection of its own. A notification is a hint: polling and heartbeats find out by themselves."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import asyncpg
import msgspec

from gristmill.db.engine import Driver, connect_options, unavailable
from gristmill.domain.role import Role
from gristmill.domain.sharing import Lane
from gristmill.errors import DatabaseUnavailable
from gristmill.settings import Settings
from gristmill.worker.tasks import first_of

JOBS = "gristmill_jobs"
CANCEL = "gristmill_cancel"
# Other programs enqueue too: what is not a lane says no more than "look".
_lane = msgspec.json.Decoder(Lane)

PROBE_S = 10.0
PROBE_DEADLINE_S = 5.0


class Notifier:
    """Calls `on_jobs` (with the lane, where one is named) and `on_cancel`; also after each new connection, for what
    was missed meanwhile.
    """

    def __init__(
        self, settings: Settings, *, on_jobs: Callable[[Lane | None], None], on_cancel: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._on_jobs = on_jobs
        self._on_cancel = on_cancel

    async def listen(self) -> None:
        """Listen until the connection is lost.

        Raises:
            DatabaseUnavailable: always, sooner or later.
        """
        try:
            connection = await self._connect()
            try:
                await self._listen(connection)
            finally:
                # Not a polite goodbye: the server may be frozen, and nothing is at stake.
                connection.terminate()
        except Exception as error:
            lost = unavailable(error)
            if lost is None:
                raise
            raise lost from error

    async def _connect(self) -> "Driver":
        settings = self._settings
        async with asyncio.timeout(settings.postgres_deadline_s):
            return await asyncpg.connect(
                host=settings.postgres_host,
                port=settings.postgres_port,
                user=settings.postgres_user,
                password=settings.postgres_password.get_secret_value(),
                database=settings.postgres_db,
                **connect_options(settings, application="gristmill-listen", role=Role.WORKER),
            )

    async def _listen(self, connection: "Driver") -> None:
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        async with asyncio.timeout(self._settings.postgres_deadline_s):
            await connection.add_listener(JOBS, partial(_heard_of_jobs, self._on_jobs))
            await connection.add_listener(CANCEL, partial(_heard, self._on_cancel))
        self._on_jobs(None)
        self._on_cancel()
        while not closed.is_set():
            # LISTEN can go silently dead; a question with a deadline finds that out.
            await first_of(closed, timeout_s=PROBE_S)
            async with asyncio.timeout(PROBE_DEADLINE_S):
                await connection.execute("SELECT 1")
        raise DatabaseUnavailable("The connection that listens was closed")


def _heard(call: Callable[[], None], *_: Any) -> None:
    call()


def _heard_of_jobs(call: Callable[[Lane | None], None], _connection: Any, _pid: int, _channel: str, lane: str) -> None:
    try:
        call(_lane.decode(lane))
    except msgspec.DecodeError:
        call(None)
