"""A child process that computes, seen from the supervisor: started, spoken to, killed."""

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.protocol import FromChild, FromSupervisor, frame, from_child, read_message

log = get_logger(__name__)

# The child's environment says which descriptor is its end of the pipe, and who its parent is.
PIPE_FD = "GRISTMILL_PIPE_FD"
PARENT_PID = "GRISTMILL_PARENT_PID"
STDERR = 2
REAP_S = 10.0
# glibc raises this one by itself up to 32 MiB and then keeps freed arrays for good: dropping duplicates among 4 M rows
# ended with 431 MiB resident instead of 179 (peak 460 instead of 384), in the same time.
MMAP_BYTES = 1024 * 1024
# Executors need no database, and read data from outside.
KEPT_FROM_CHILDREN = (
    "postgres_password",
    "postgres_migration_password",
    "postgres_api_password",
    "postgres_worker_password",
    "bootstrap_api_key",
)


class ChildProcess:
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        temporary: Path,
    ) -> None:
        self._process = process
        self.temporary = temporary
        self._reader = reader
        self._writer = writer
        self.exited = asyncio.create_task(process.wait(), name=f"wait-{process.pid}")

    @classmethod
    async def start(cls, settings: Settings, temporary: Path) -> "ChildProcess":
        """Spawn one, with a folder for its temporary files. It is not `Ready` yet.

        In a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone.
        """
        ours, theirs = socket.socketpair()
        with ExitStack() as pipe:
            pipe.callback(ours.close)
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # what lies in the current folder is not ours
                    "-m",
                    "gristmill.worker.child",
                    stdin=subprocess.DEVNULL,
                    stdout=STDERR,
                    env=_environment(settings, temporary, pipe=theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            pipe.pop_all()
        return cls(process, reader, writer, temporary)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, message: FromSupervisor) -> None:
        """Send a message. To a dead child it is lost: `receive` tells."""
        self._writer.write(frame(message))

    async def receive(self) -> FromChild | None:
        """The next message; None when the child is dead or talks nonsense."""
        try:
            return await read_message(self._reader, from_child)
        except ValueError:
            return None

    async def kill(self) -> int | None:
        """Kill it, if it lives, and wait until it is gone. Answers its exit code (-9: killed)."""
        if not self.exited.done():
            try:
                self._process.kill()
            except ProcessLookupError:
                log.debug("executor.gone", pid=self.pid)
            # A process in an uninterruptible read of a dead disk is not waited for.
            await asyncio.wait({self.exited}, timeout=REAP_S)
        self._writer.close()
        code = self.exited.result() if self.exited.done() else None
        log.info("executor.exited", pid=self.pid, code=code)
        return code


def _environment(settings: Settings, temporary: Path, *, pipe: int) -> dict[str, str]:
    threads = max(1, (os.cpu_count() or 1) // settings.concurrency)
    chosen = {
        "POLARS_MAX_THREADS": str(threads),
        # Row groups that are fetched ahead, of 16 MiB each where a table is wide: with Polars' own number, scaling 500
        # columns took 46 MiB more, and no less time.
        "POLARS_ROW_GROUP_PREFETCH_SIZE": "2",
        # Each thread that NumPy is called from would keep a heap of its own: 60 to 100 MB more at the peak of
        # `metrics`.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": str(MMAP_BYTES),
        # Polars' own allocator keeps what was freed for ten seconds, in four heaps for each core. With this, scaling
        # 200,000 rows of 500 columns peaked at 486 MiB and not at 510, with no more CPU; narrow tables take 25 less.
        "_RJEM_MALLOC_CONF": f"dirty_decay_ms:500,muzzy_decay_ms:0,narenas:{max(2, threads)}",
    }
    environment = chosen | dict(os.environ) | settings.environment()
    environment |= {name.upper(): "-" for name in KEPT_FROM_CHILDREN}
    return environment | {
        PIPE_FD: str(pipe),
        PARENT_PID: str(os.getpid()),
        "TMPDIR": str(temporary),
        "POLARS_TEMP_DIR": str(temporary),
    }
