"""A PostgreSQL of a test's own, which may be restarted, and a pooling proxy before one."""

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from gristmill.db.engine import Database
from gristmill.db.migrations import upgrade
from gristmill.embedded import Endpoints
from gristmill.embedded.places import Places, ServerUser, binaries
from gristmill.embedded.postgres import Postgres
from gristmill.objects import ObjectStore
from gristmill.settings import load_settings
from tests.api.serving import free_port
from tests.worker.rig import Bench


class OwnPostgres:
    """A server that nobody else uses. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._places = Places(folder)
        self._places.ensure()
        user = ServerUser.of_this_process()
        self.services = self._places.plan(user)
        self._home = self._places.home(self.services)
        programs, _ = binaries(self._home, user)
        self._server = Postgres(self._places, self.services, user, programs)
        self._process = self._server.start()

    def restart_at_once(self) -> None:
        """As `pg_ctl restart -m immediate`, or a crash: connections are cut, and nothing is written before."""
        self._end()
        self._process = self._server.start()

    def wipe(self) -> None:
        self._end()
        shutil.rmtree(self._home, ignore_errors=True)

    def _end(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)


@pytest.fixture
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    with TemporaryDirectory(prefix="own postgres ", ignore_cleanup_errors=True) as name:
        server = await asyncio.to_thread(OwnPostgres, Path(name))
        try:
            yield server
        finally:
            await asyncio.to_thread(server.wipe)


@pytest.fixture
async def own_environment(own_postgres: OwnPostgres, endpoints: Endpoints) -> dict[str, str]:
    """The environment of processes on that server, with the schema at head."""
    found = {
        **endpoints.environment(),
        "POSTGRES_PORT": str(own_postgres.services.ports["postgres"]),
        "POSTGRES_PASSWORD": own_postgres.services.postgres_password,
        "POSTGRES_MIGRATION_PASSWORD": own_postgres.services.postgres_password,
        "POSTGRES_DEADLINE_S": "3",
    }
    await upgrade(load_settings(found, env_file=None))
    return found


@pytest.fixture
async def own_bench(own_environment: dict[str, str]) -> AsyncIterator[Bench]:
    settings = load_settings(own_environment, env_file=None)
    async with Database.open(settings) as database, ObjectStore.open(settings) as store:
        yield Bench(settings, database, store)


PGBOUNCER = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""


@asynccontextmanager
async def pooled(environment: dict[str, str], folder: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of processes that reach PostgreSQL through a transaction-pooling proxy of three connections."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed; on Debian: apt-get install pgbouncer")
    listen = free_port()
    config = PGBOUNCER.format(
        host=environment["POSTGRES_HOST"], port=environment["POSTGRES_PORT"], listen=listen, folder=folder
    )
    (folder / "pgbouncer.ini").write_text(config)
    (folder / "users.txt").write_text(f'"{environment["POSTGRES_USER"]}" "{environment["POSTGRES_PASSWORD"]}"\n')
    command = [program, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # which it refuses to run as
        command[1:1] = ["--user", pwd.getpwnam("nobody").pw_name]
        for path in (folder / "pgbouncer.ini", folder / "users.txt", folder, *folder.parents):
            if path.stat().st_uid == 0 and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o055)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    through = {**environment, "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(listen), "LISTEN_NOTIFY": "false"}
    try:
        await _answers(through)
        yield through
    finally:
        process.terminate()
        await process.wait()


async def _answers(environment: dict[str, str]) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                connection = await asyncpg.connect(
                    host=environment["POSTGRES_HOST"],
                    port=int(environment["POSTGRES_PORT"]),
                    user=environment["POSTGRES_USER"],
                    password=environment["POSTGRES_PASSWORD"],
                    database=environment["POSTGRES_DB"],
                    statement_cache_size=0,
                    ssl=False,
                )
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
            else:
                await connection.close()
                return
