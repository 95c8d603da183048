"""`gristmill` as it is typed: in a pipe, or in a terminal of its own."""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

LIMIT_S = 60.0
COLUMNS, LINES = 100, 40
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# In a process of its own, that has no threads: there a terminal may be forked.
SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
CTRL_C = "\x03"


def gristmill(
    *arguments: str, env: Mapping[str, str] | None = None, given: bytes | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command with its output in pipes."""
    ended = subprocess.run(
        _command(arguments), env=_environment(env), input=given, capture_output=True, check=False, timeout=LIMIT_S
    )
    return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


class Terminal:
    """A command of ours, or a `program`, in a terminal, which sees all of its output and types what it is told."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str] | None = None, program: Sequence[str] | None = None
    ) -> None:
        size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SPAWN, *(program or _command(arguments))],
            env=_environment({**(env or {}), **size}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def said(self) -> str:
        """All it said, without what moves the cursor and colours."""
        return ESCAPES.sub("", self.raw)

    def until(self, pattern: str) -> str:
        """What it says up to a pattern."""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.said):
            assert time.monotonic() < deadline, f"{pattern!r} did not come:\n{self.said}"
            assert self._read(), f"it ended before {pattern!r} came:\n{self.said}"
        return self.said

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def ends(self) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + LIMIT_S
        while self._read():
            assert time.monotonic() < deadline, self.said
        return self._process.wait(LIMIT_S)

    def _read(self) -> bool:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        if not select.select([handle], [], [], 0.5)[0]:
            return True
        piece = os.read(handle, 65536)
        self.raw += piece.decode(errors="replace")
        return bool(piece)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "gristmill", *arguments]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **(more or {})}
