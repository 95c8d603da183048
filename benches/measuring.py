"""What all benches share: figures, what is wanted of them, and how they are told."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

CORES = 2


@dataclass(frozen=True)
class Wanted:
    """One figure and what is meant to be reached, in words."""

    what: str
    found: float
    wanted: str


@dataclass(frozen=True)
class Found:
    """What one part measured: a table to print, and what was measured, one JSON line each."""

    table: str
    ratios: Sequence[Wanted]
    figures: Sequence[dict[str, Any]]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def spread(values: Sequence[float]) -> str:
    """The lowest and the highest, where there are several."""
    return f"{min(values):.2f}–{max(values):.2f}" if len(values) > 1 else ""


def ratio_table(ratios: Sequence[Wanted]) -> str:
    rows = [f"| {ratio.what} | {ratio.found:,.2f} | {ratio.wanted} |" for ratio in ratios]
    return "\n".join(["| ratio | found | wanted |", "|---|---:|---|", *rows])


def use_two_cores() -> int:
    """Have this process and all that it starts run on two cores at most. Answers how many there are to it."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def cpu_seconds(root: psutil.Process) -> float:
    """CPU time of a process and of those under it that live, and of those that have ended."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
