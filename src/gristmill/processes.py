"""Programs of ours as child processes: started together, watched, and all gone when the block is left, however.

    with Processes() as processes:
        processes.start(Program("api", [sys.executable, "-m", "gristmill", "api"], environment, log=folder / "api.log"))
        processes.wait_ready("api", answers)
        processes.wait()

Leaving the block, an exception, SIGINT, SIGTERM and SIGHUP stop them all; on Linux, so does the death of this process.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from gristmill.errors import ProcessFailed

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
LOOK_S = 0.02
TAIL_LINES = 8
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1

OnSignal = Callable[[int, FrameType | None], object] | int | None


@dataclass(frozen=True)
class Program:
    """A program to run in `folder`, or where we are. `environment` is all it gets; without `log` it writes to ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Child:
    program: Program
    process: subprocess.Popen[bytes]

    def fault(self) -> ProcessFailed:
        """Its end as an error: how it ended, and what it said last."""
        return ProcessFailed(f"The {self.program.name} {_ending(self.process.wait())}.{self.last_words()}")

    def last_words(self) -> str:
        said = "" if self.program.log is None else _tail(self.program.log)
        return f" It said last:\n{said}" if said else ""


class Processes:
    """Named children of this process. To be used from the main thread: signals reach no other."""

    def __init__(self, *, stop_limit_s: float = STOP_LIMIT_S) -> None:
        self._stop_limit_s = stop_limit_s
        self._children: dict[str, Child] = {}
        self._signals: dict[int, OnSignal] = {}
        self._starting = False
        self._received: int | None = None
        self._leaving = False
        self._hurried = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._signals[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        try:
            self._stop(list(self._children))
        finally:
            for number, before in self._signals.items():
                signal.signal(number, before)

    def start(self, program: Program) -> int:
        """Start a program in a process group of its own; answers its process id.

        Raises:
            ProcessFailed: it can't be started, or one of this name runs.
        """
        if program.name in self._children:
            raise ProcessFailed(f"The {program.name} runs already.")
        self._starting = True  # a signal between the fork and our note of it would leave a child behind
        try:
            self._children[program.name] = Child(program, _spawn(program))
        except OSError as error:
            raise ProcessFailed(f"The {program.name} can't be started: {error.strerror}.") from error
        finally:
            self._starting = False
        if self._received is not None:
            _leave(self._received)
        return self._children[program.name].process.pid

    def wait_ready(self, name: str, ready: Callable[[], bool], *, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until `ready()` says so.

        Raises:
            ProcessFailed: a child ends before, or it takes longer than `limit_s` seconds.
        """
        deadline = time.monotonic() + limit_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                words = self._children[name].last_words()
                raise ProcessFailed(f"The {name} is not ready after {limit_s:.0f} s.{words}")
            time.sleep(LOOK_S)

    def check(self) -> None:
        """Raises ProcessFailed for a child that has ended."""
        for child in self._children.values():
            if child.process.poll() is not None:
                raise child.fault()

    def wait(self) -> NoReturn:
        """Wait for ever: ends by a signal, or with ProcessFailed when a child ends."""
        while True:
            self.check()
            time.sleep(LOOK_S * 5)

    def stop(self, name: str) -> None:
        """Stop one child: SIGTERM, and SIGKILL to all of its group after the limit."""
        self._stop([name])

    def _stop(self, names: Sequence[str]) -> None:
        children = [self._children[name] for name in names]
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + self._stop_limit_s
        for child in children:
            while child.process.poll() is None and time.monotonic() < deadline and not self._hurried:
                time.sleep(LOOK_S)
            _kill_group(child.process)
            del self._children[child.program.name]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._leaving:
            self._hurried = True
        elif self._starting:
            self._received = number
        else:
            _leave(number)


def _leave(number: int) -> NoReturn:
    raise SystemExit(128 + number)


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start it behind our own first lines (`main`), which tie its life to ours and become it."""
    command = [sys.executable, "-m", "gristmill.processes", str(os.getpid()), *program.command]
    with contextlib.ExitStack() as stack:
        log = None if program.log is None else stack.enter_context(program.log.open("ab"))
        return subprocess.Popen(
            command,
            env=dict(program.environment),
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=None if log is None else subprocess.STDOUT,
            process_group=0,
        )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to what is left of its group: itself where it did not end, and children that it left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


def main(arguments: Sequence[str]) -> NoReturn:
    """Become `arguments[1:]`, to be killed when the parent, process `arguments[0]`, dies (Linux)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(arguments[0]):
        sys.exit(1)  # it died before it could be tied
    try:
        os.execvp(arguments[1], list(arguments[1:]))  # noqa: S606 - becoming the program is what this is for
    except OSError as error:
        sys.exit(f"{arguments[1]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
