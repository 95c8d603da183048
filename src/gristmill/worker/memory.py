"""What the system says of memory: of a process, of the machine, and of what the kernel killed for want of it. Linux
tells all of it in files; elsewhere nothing is known, and the limits of memory do not hold (those of time do)."""

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
# Of what is free now; the rest is for the supervisor, and for what idle executors hold.
USABLE = 0.9
# Counted are pages that only the process's end gives back. RssFile is left out: Polars maps what it spilled, and the
# kernel takes those pages back when it needs them, so a job must not die for them. (PSS, which would share out pages
# that processes have in common, costs a walk over all maps; what executors share is the code, which is RssFile.)
# RLIMIT_AS is no limit for us: a scan of 4 M rows that peaked at 168 MiB resident had reserved 1,276 MiB of addresses.
OWN_PAGES = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s*(\d+)", re.MULTILINE)


def memory_of(pid: int, *, proc: Path = PROC) -> int | None:
    """Bytes of memory that the process alone holds, swapped out ones included; None: it is gone, or nobody knows."""
    try:
        status = (proc / str(pid) / "status").read_bytes()
    except OSError:
        return None
    kib = [int(number) for number in OWN_PAGES.findall(status)]
    return sum(kib) * 1024 if kib else None


def give_back() -> None:
    """Return freed memory to the system: between the fit and the writing of 2,000 columns it was 120 MiB of 311."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def usable_memory(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes that can be shared out now: what the machine has available, or our cgroup (v2) and those above it may
    take, whichever is least. None: nobody knows.
    """
    known = [_number(folder / "memory.max") for folder in _own_cgroups(proc, cgroups)]
    known.append(_available(proc))
    found = [size for size in known if size is not None]
    return int(min(found) * USABLE) if found else None


def oom_kills(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """How many processes the kernel has killed so far for want of memory, in our cgroup, or else on the machine."""
    events = [folder / "memory.events" for folder in _own_cgroups(proc, cgroups)]
    for path in [*events, proc / "vmstat"]:
        count = _field(path, "oom_kill")
        if count is not None:
            return count
    return 0


def _own_cgroups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """From our own cgroup up to the root that we can see."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            own = cgroups / line.removeprefix("0::/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(cgroups))


def _available(proc: Path) -> int | None:
    kib = _field(proc / "meminfo", "MemAvailable:")
    return None if kib is None else kib * 1024


def _field(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)


def _number(path: Path) -> int | None:
    """The number in the file; None where there is none: `max` is no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
