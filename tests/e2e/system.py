"""The API and a worker as their own processes, and HTTP to speak to them."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gristmill.processes import Processes, Program
from gristmill.run import answers
from tests.worker.rig import SHORT, until

LIVE = "/health/live"
READY = "/health/ready"


@dataclass(frozen=True)
class System:
    """A running Gristmill. `logs` has what each process wrote."""

    url: str
    http: httpx.AsyncClient
    processes: Processes
    logs: Path

    async def upload(self, content: bytes, filename: str, **form: str) -> httpx.Response:
        return await self.http.post("/datasets", files={"file": (filename, content)}, data=form)

    async def submit(self, dataset_id: str, kind: str = "metrics", **params: Any) -> httpx.Response:
        return await self.http.post("/jobs", json={"kind": kind, "dataset_id": dataset_id, "params": params})

    async def settled(self, path: str) -> dict[str, Any]:
        """A dataset or job once its status is final."""

        async def final() -> bool:
            found.update((await self.http.get(path)).raise_for_status().json())
            return found["status"] in {"ready", "completed", "failed", "canceled"}

        found: dict[str, Any] = {}
        await until(final, f"{path} settles")
        return found

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running_system(
    environment: Mapping[str, str], folder: Path, *, ready: str = READY, worker: bool = True
) -> AsyncIterator[System]:
    """An API, a worker unless told not to, and a client that waits for them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    whole = {"PATH": os.environ["PATH"], **SHORT, **environment, "API_PORT": str(port)}
    names = ("api", "worker") if worker else ("api",)
    with Processes() as processes:
        for name in names:
            command = [sys.executable, "-m", "gristmill", name, "--data", str(folder / "unused")]
            processes.start(Program(name, command, whole, folder / f"{name}.log"))
        # Waited for in a thread: a proxy that they talk through runs on this loop.
        await asyncio.to_thread(processes.wait_ready, "api", lambda: answers(url + ready))
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield System(url, http, processes, folder)
        for name in names:
            await asyncio.to_thread(processes.stop, name)
