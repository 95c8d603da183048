"""What holders and the guard share: the locks, what the guard says of itself, and logs. Imports little, on purpose:
every command of ours is a holder, and the servers' own modules are the guard's alone."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

State = Literal["starting", "ready", "failed", "stopping"]


class GuardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard says of itself."""

    pid: int
    state: State
    error: str = ""
    environment: dict[str, str] = {}


@contextlib.contextmanager
def locked(path: Path, operation: int) -> Iterator[bool]:
    """A lock on a file, while the block runs. False where `operation` does not wait and it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return last_lines(file.read(), lines)
    except OSError:
        return ""


def private_log(path: Path) -> BinaryIO:
    """A log to append to, for us alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def last_lines(output: bytes, lines: int = 15) -> str:
    return "\n".join(output.decode("utf-8", "replace").splitlines()[-lines:])
