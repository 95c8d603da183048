"""PostgreSQL on this machine: made with the wheel's own `initdb`, run as a child of the guard."""

import asyncio
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from gristmill.domain.role import Role
from gristmill.embedded import servers
from gristmill.embedded.places import Places, ServerUser, Services, owned_folder, write_private
from gristmill.embedded.report import tail
from gristmill.errors import EmbeddedServiceError

SUPERUSER = "postgres"
ROLE = "gristmill"
DATABASE = "gristmill"
READY_LIMIT_S = 60.0

SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
client_connection_check_interval = '1s'
timezone = 'UTC'
log_timezone = 'UTC'
log_statement = 'none'
log_min_error_statement = 'panic'
"""

# Nobody without a password, from nowhere but this machine, whatever initdb's defaults are.
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class Postgres:
    """The database server of one data folder."""

    name = "postgres"

    def __init__(self, places: Places, services: Services, user: ServerUser, programs: Path) -> None:
        self._services = services
        self._user = user
        self._programs = programs
        self._folder = places.home(services) / "postgres"
        self._data = self._folder / "data"
        self._port = services.ports["postgres"]
        self.program = servers.Program(
            name=self.name,
            command=[str(programs / "postgres"), "-D", str(self._data), "-p", str(self._port)],
            mark=str(self._data),
            folder=self._folder,
            log=places.log(self.name),
            user=user,
            stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back, all else is on disk
            stop_limit_s=30.0,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, and return when it answers and has the application's role and database.

        Raises:
            EmbeddedServiceError: it does not come up; the message has the end of its log.
        """
        servers.stop_stray(self.program)
        if not (self._data / "PG_VERSION").exists():
            self._create()
        # Left by a server that was killed. No server runs on this folder, but its pid may be another process by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        write_private(self._data / "postgresql.auto.conf", b"", self._user)
        write_private(self._data / "postgresql.conf", SETTINGS.encode(), self._user)
        write_private(self._data / "pg_hba.conf", ACCESS.encode(), self._user)
        process = servers.start(self.program)
        try:
            asyncio.run(self._prepare(process))
        except BaseException:
            servers.stop(self.program, process)
            raise
        return process

    def _create(self) -> None:
        """A new cluster, under another name until it is whole."""
        draft = self._folder / "data.new"
        password = self._folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        owned_folder(draft, self._user)
        write_private(password, self._services.postgres_superuser_password.encode(), self._user)
        try:
            servers.run(
                [
                    str(self._programs / "initdb"),
                    f"--pgdata={draft}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-instructions",
                ],
                folder=self._folder,
                user=self._user,
                what="Making the PostgreSQL data folder",
            )
        finally:
            password.unlink(missing_ok=True)
        draft.rename(self._data)

    async def _prepare(self, process: subprocess.Popen[bytes]) -> None:
        connection = await self._connected(process)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE}")
            # One login for all: it takes the role that a process needs.
            for role in Role:
                if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                    await connection.execute(f"CREATE ROLE {role} NOLOGIN")
                await connection.execute(f"GRANT {role} TO {ROLE} WITH INHERIT FALSE, SET TRUE")
            # Templates are cloned for tests; nothing else beyond its own databases is allowed to it.
            await connection.execute(
                f"ALTER ROLE {ROLE} LOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS "
                f"PASSWORD '{self._services.postgres_password}'"
            )
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        finally:
            await connection.close()

    async def _connected(self, process: subprocess.Popen[bytes]) -> asyncpg.Connection:
        deadline = servers.now() + READY_LIMIT_S
        while True:
            try:
                return await asyncpg.connect(
                    host="127.0.0.1",
                    port=self._port,
                    user=SUPERUSER,
                    password=self._services.postgres_superuser_password,
                    database="postgres",
                    ssl=False,
                    timeout=5,
                )
            except asyncpg.InvalidPasswordError as error:
                raise EmbeddedServiceError(
                    "the PostgreSQL data does not go with its password; `make reset` starts afresh"
                ) from error
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                if process.poll() is not None or servers.now() > deadline:
                    raise EmbeddedServiceError(f"PostgreSQL does not start:\n{tail(self.program.log)}") from error
            await asyncio.sleep(0.05)
