"""The API as its users meet it: a process of its own on a free port."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
START_S = 90.0
STOP_S = 25.0
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Served:
    """A running API: where it is, its process, and the file its log goes to."""

    url: str
    port: int
    pid: int
    log: Path

    def logged(self) -> str:
        return self.log.read_text("utf-8")


@contextmanager
def serving(environment: Mapping[str, str], log: Path, *, exit_code: int = 0) -> Iterator[Served]:
    """Run the API until the end of the block; it must end by itself, with code 0, when it is asked to.

    With another `exit_code` it must have ended so in the block.
    """
    port = free_port()
    given = {**os.environ, **environment, "API_PORT": str(port), "LOG_FORMAT": "json"}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "gristmill", "api"], cwd=ROOT, env=given, stdout=sink, stderr=sink
        )
    served = Served(f"http://127.0.0.1:{port}", port, process.pid, log)
    try:
        _await_start(process, served)
        yield served
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == exit_code, served.logged()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition of another process; a time-out is a failure."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _await_start(process: subprocess.Popen[bytes], served: Served) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            httpx.get(f"{served.url}/health/live", timeout=2)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the API did not start:\n{served.logged()}")
