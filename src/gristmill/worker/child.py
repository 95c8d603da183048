"""`python -m gristmill.worker.child`: the process that computes, one job after the other, until its pipe closes.

The main thread computes. Another one runs the event loop: S3, and the pipe to the supervisor.
"""

import asyncio
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import NoReturn

from gristmill.domain.job import Progress
from gristmill.objects import ObjectStore
from gristmill.processors import discover
from gristmill.settings import Settings, load_settings
from gristmill.telemetry import configure_logging, get_logger
from gristmill.worker.process import PARENT_PID, PIPE_FD
from gristmill.worker.protocol import Advanced, FromChild, Ready, Run, frame, from_supervisor, read_message
from gristmill.worker.work import Workbench

PR_SET_PDEATHSIG = 1
ORPHANED = 3
# From -1000 (never) to 1000 (first of all).
OOM_SCORE = "500"

log = get_logger(__name__)


class Link:
    """The pipe and the store, on the event loop of a thread of their own."""

    def __init__(self, settings: Settings, pipe: socket.socket) -> None:
        self._settings = settings
        self._pipe = pipe
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._opened: Future[tuple[asyncio.AbstractEventLoop, asyncio.StreamWriter, ObjectStore]] = Future()
        threading.Thread(target=self._thread, name="link", daemon=True).start()
        self.loop, self._writer, self.store = self._opened.result()

    def next_run(self) -> Run:
        return self._runs.get()

    def send(self, message: FromChild) -> None:
        self.loop.call_soon_threadsafe(self._writer.write, frame(message))

    def advance(self, progress: Progress) -> None:
        self.send(Advanced(progress))

    def _thread(self) -> NoReturn:
        # Whatever ends the pipe ends the process, even while the other thread computes: the lease is somebody else's.
        try:
            asyncio.run(self._serve())
        finally:
            os._exit(ORPHANED)

    async def _serve(self) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=self._pipe)
        async with ObjectStore.open(self._settings) as store:
            self._opened.set_result((asyncio.get_running_loop(), writer, store))
            while (message := await read_message(reader, from_supervisor)) is not None:
                self._runs.put(message)
            os._exit(ORPHANED)


def main() -> NoReturn:
    """Announce that we are ready, then work for ever."""
    _die_with(int(os.environ[PARENT_PID]))
    settings = load_settings(env_file=None)
    configure_logging(settings.log_level, settings.log_format)
    _die_before_others()
    processors = discover()
    link = Link(settings, socket.socket(fileno=int(os.environ[PIPE_FD])))
    workbench = Workbench(settings, link.store, link.loop, processors)
    link.send(Ready())
    while True:
        order = link.next_run()
        link.send(workbench.perform(order.job, Path(order.scratch), link.advance))


def _die_with(parent: int) -> None:
    """Have the kernel kill us when the parent dies, where it can; elsewhere the closed pipe ends us."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(ORPHANED)


def _die_before_others() -> None:
    """Have the kernel take us, and not the supervisor, when it needs memory: for a job there is another attempt."""
    if sys.platform != "linux":
        return
    try:
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    except OSError as error:
        log.debug("executor.oom_score", pid=os.getpid(), error=type(error).__name__)


if __name__ == "__main__":
    main()
