"""Promise: many who come at one moment are let in by few, and who asks for something else is answered meanwhile."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gristmill.api.app import ACCEPTED_IN_A_TURN
from gristmill.db.engine import Database
from gristmill.objects.room import BEGIN_AT_ONCE
from tests.api.serving import Served, serving, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
TYPE = {"Content-Type": "text/csv"}
UPLOADS, ASKED, CALLERS = 24, 20, 200
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass"


@pytest.fixture(scope="module")
def served(module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that also looks how much an owner has stored, before an upload begins."""
    environment = {**module_environment, "MAX_OWNER_BYTES": "1000000000"}
    with serving(environment, tmp_path_factory.mktemp("crowd") / "log") as running:
        yield running


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[None]:
    """Nobody else reads or writes the table meanwhile."""
    async with database.driver() as driver, driver.transaction():
        await driver.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("table", ["datasets", "uploads"])
async def test_few_uploads_begin_at_once_and_others_are_answered_meanwhile(
    client: httpx.AsyncClient, database: Database, table: str
) -> None:
    """What a beginning upload asks of the database stands still here, and takes four of the API's ten connections."""

    async def waiting() -> int:
        async with database.driver() as driver:
            return int(await driver.fetchval(WAITING, table))

    async def at_the_door() -> bool:
        return await waiting() == BEGIN_AT_ONCE

    async with httpx.AsyncClient(base_url=str(client.base_url), timeout=30, limits=httpx.Limits()) as many:
        async with locked(database, table):
            uploads = [asyncio.create_task(many.post("/datasets", content=CSV, headers=TYPE)) for _ in range(UPLOADS)]
            await until(at_the_door)
            for _ in range(ASKED):
                (await client.get("/jobs")).raise_for_status()
                assert await waiting() == BEGIN_AT_ONCE
            assert not any(upload.done() for upload in uploads)
        answers = await asyncio.gather(*uploads)
    assert Counter(answer.status_code for answer in answers) == {201: UPLOADS}
    async with database.driver() as driver:
        assert await driver.fetchval("SELECT count(*) FROM uploads") == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are read from /proc")
def test_the_loop_accepts_in_eight_places(served: Served) -> None:
    """The loop takes one connection in a turn from each listening descriptor. They are one socket, with one queue."""
    kernel = [line.split() for line in Path(f"/proc/{served.pid}/net/tcp").read_text("ascii").splitlines()[1:]]
    (listening,) = {words[9] for words in kernel if words[1].endswith(f":{served.port:04X}") and words[3] == "0A"}
    opened = [str(descriptor.readlink()) for descriptor in Path(f"/proc/{served.pid}/fd").iterdir()]
    assert opened.count(f"socket:[{listening}]") == ACCEPTED_IN_A_TURN == 8


async def test_who_came_while_the_loop_stood_still_is_answered(served: Served) -> None:
    ask = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

    async def come() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(ask)
        return reader, writer

    os.kill(served.pid, signal.SIGSTOP)
    try:
        callers = [await come() for _ in range(CALLERS)]
    finally:
        os.kill(served.pid, signal.SIGCONT)
    statuses = Counter([await reader.readline() for reader, _ in callers])
    for _, writer in callers:
        writer.transport.abort()
    assert statuses == {b"HTTP/1.1 200 OK\r\n": CALLERS}
