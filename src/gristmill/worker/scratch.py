"""Folders for temporary files: one a worker, in it one a job and one an executor, which libraries write to. Each goes
with the death of whom it is for; those of dead workers are removed by the next one.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from gristmill.settings import Settings

PREFIX = "gristmill-worker-"
LOCK = "lock"


class Scratch:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, worker_id: UUID) -> AsyncIterator["Scratch"]:
        """Make the worker's folder, for its user alone, and remove it at the end."""
        above = settings.scratch_dir or Path(tempfile.gettempdir())
        folder = above / f"{PREFIX}{worker_id}"
        lock = await asyncio.to_thread(_make, above, folder)
        try:
            yield cls(folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            os.close(lock)

    def place(self, lease: int) -> Path:
        """Where one attempt makes its folder."""
        return self.folder / str(lease)

    async def temporary(self) -> Path:
        """A new folder for one executor."""
        return Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="executor-", dir=self.folder))

    async def remove_made(self, path: Path) -> None:
        """Remove an attempt's folder. Most attempts make none, and to ask is cheaper than a thread's turn."""
        if _is_made(path):
            await self.remove(path)

    async def remove(self, path: Path) -> None:
        """Remove such a folder. Whatever used it is gone; a file that can't be removed goes with the worker's."""
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _is_made(path: Path) -> bool:
    return path.exists()


def _make(above: Path, folder: Path) -> int:
    above.mkdir(parents=True, exist_ok=True)
    for other in above.glob(f"{PREFIX}*"):
        _remove_if_dead(other)
    folder.mkdir(mode=0o700)
    # A lock dies with its process, whatever kills that.
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return  # another user's, or one that is being made or removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
