"""One server program as a child of the guard: started, watched, recognised when left behind, stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from gristmill.embedded.places import ServerUser
from gristmill.embedded.report import last_lines, private_log
from gristmill.errors import EmbeddedServiceError

LOG_LIMIT_BYTES = 8 * 1024 * 1024
# Nothing of the caller's environment: PG* and AWS_* variables there would change what the servers do.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Program:
    """How a server is run. `mark` is the argument that names its data folder: by it a stray one is known."""

    name: str
    command: Sequence[str]
    mark: str
    folder: Path
    log: Path
    user: ServerUser
    stop_signal: signal.Signals
    stop_limit_s: float
    leftovers: Sequence[Path] = ()  # sockets it makes outside its folder, and leaves when it is killed


def start(program: Program) -> subprocess.Popen[bytes]:
    if program.log.exists() and program.log.stat().st_size > LOG_LIMIT_BYTES:
        program.log.replace(program.log.with_suffix(".old.log"))
    with private_log(program.log) as log:
        return _spawn(program.command, folder=program.folder, user=program.user, output=log)


def run(command: Sequence[str], *, folder: Path, user: ServerUser, what: str, limit_s: float = 120) -> None:
    """Run a program to its end.

    Raises:
        EmbeddedServiceError: it failed; the message has what it said last.
    """
    with TemporaryFile() as output:
        try:
            process = _spawn(command, folder=folder, user=user, output=output)
            code = process.wait(limit_s)
        except OSError as error:
            raise EmbeddedServiceError(f"{what} failed: {error}") from error
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise EmbeddedServiceError(f"{what} took longer than {limit_s:.0f} s") from error
        output.seek(0)
        if code != 0:
            raise EmbeddedServiceError(f"{what} failed:\n{last_lines(output.read())}")


def _spawn(command: Sequence[str], *, folder: Path, user: ServerUser, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
        user=user.uid if user.switch else None,
        group=user.gid if user.switch else None,
        extra_groups=() if user.switch else None,
    )


def stop(program: Program, process: subprocess.Popen[bytes]) -> None:
    """Stop a child; killed where it takes longer than its limit."""
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        try:
            process.wait(program.stop_limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    _clear(program)


def stop_stray(program: Program) -> bool:
    """End what an earlier guard, killed, has left running on this data folder. Whether there was any."""
    found = strays = [process for process in psutil.process_iter() if _is(process, program)]
    for number, limit_s in ((program.stop_signal, program.stop_limit_s), (signal.SIGKILL, program.stop_limit_s)):
        for process in strays:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = now() + limit_s
        while (strays := [process for process in strays if _lives(process)]) and now() < deadline:
            time.sleep(0.02)
    _clear(program)
    return bool(found)


def _clear(program: Program) -> None:
    for path in program.leftovers:
        with contextlib.suppress(OSError):
            path.unlink()


def now() -> float:
    return time.monotonic()


def _is(process: psutil.Process, program: Program) -> bool:
    """By its arguments and its user, not by a pid: that may be another process by now."""
    try:
        return program.mark in process.cmdline() and process.uids().real == program.user.uid
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    """Not so a zombie: in a container there may be nobody who collects it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
