"""The servers of one run, in a temporary folder: a durable PostgreSQL, and a Redis for the queues that are on one."""

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol

import asyncpg
import psutil

from gristmill.embedded.places import Places, ServerUser, binaries
from gristmill.embedded.postgres import SUPERUSER, Postgres


class Server(Protocol):
    """What an adapter's jobs are kept in."""

    process: psutil.Process

    def fresh(self, name: str = "bench") -> str:
        """An empty place of that name for jobs. Answers its URL."""
        ...

    def settle(self, url: str) -> None:
        """Have it catch up on what it does in the background, before a measurement."""
        ...

    def wal_bytes(self) -> int:
        """How much was written to its log so far."""
        ...

    def stop(self) -> None: ...


class PostgresServer:
    """fsync and synchronous_commit are on, as the product has them."""

    def __init__(self, folder: Path) -> None:
        places = Places(folder)
        places.ensure()
        user = ServerUser.of_this_process()
        self._services = places.plan(user)
        self._home = places.home(self._services)
        programs, _ = binaries(self._home, user)
        self._process = Postgres(places, self._services, user, programs).start()
        self.process = psutil.Process(self._process.pid)

    def url(self, database: str) -> str:
        password, port = self._services.postgres_password, self._services.ports["postgres"]
        return f"postgresql://gristmill:{password}@127.0.0.1:{port}/{database}"

    def fresh(self, name: str = "bench") -> str:
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {name} OWNER gristmill")
        return self.url(name)

    def settle(self, url: str) -> None:
        self.sql("VACUUM (ANALYZE)", database=url.rpartition("/")[2])
        self.sql("CHECKPOINT")

    def wal_bytes(self) -> int:
        return int(str(self.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")).partition(".")[0])

    def sql(self, statement: str, *, database: str = "gristmill") -> object:
        async def run() -> object:
            port, password = self._services.ports["postgres"], self._services.postgres_superuser_password
            connection = await asyncpg.connect(
                host="127.0.0.1", port=port, user=SUPERUSER, password=password, database=database
            )
            try:
                return await connection.fetchval(statement, timeout=600)
            finally:
                await connection.close()

        return asyncio.run(run())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        shutil.rmtree(self._home, ignore_errors=True)


class RedisServer:
    """Its append-only file is on, synced every second: its usual setting. An answered job may be lost within it."""

    def __init__(self, folder: Path) -> None:
        (folder / "redis").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._log = folder / "redis" / "log"
        self._folder = folder / "redis"
        settings = {"bind": "127.0.0.1", "port": str(self._port), "appendonly": "yes", "appendfsync": "everysec"}
        given = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = ["redis-server", *given, "--save", "", "--dir", str(self._folder), "--logfile", str(self._log)]
        self._popen = subprocess.Popen(command)
        self.process = psutil.Process(self._popen.pid)
        self._until_it_listens()

    def fresh(self, name: str = "bench") -> str:
        return f"redis://127.0.0.1:{self._port}/0"  # the adapters' `setup` empties it

    def settle(self, url: str) -> None:
        """It does nothing in the background that could be waited for."""

    def wal_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob("appendonlydir/*.aof"))

    def stop(self) -> None:
        self._popen.terminate()
        self._popen.wait(20)

    def _until_it_listens(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return
