"""What all benches share: figures, what is wanted of them, and how they are told."""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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


Part = Callable[[Path, argparse.Namespace], Found]


def run_parts(parts: Mapping[str, Part], chosen: Sequence[str], options: argparse.Namespace, *, cores: int) -> None:
    """Measure each part in a temporary folder of its own and print its table, and last what was found beside what is
    wanted. Figures are added to the file `options.out`, where one is named, when their part is over.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and workers are stopped
    load = os.getloadavg()[0]
    ratios: list[Wanted] = []
    for name in chosen:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="bench ") as folder:
            found = parts[name](Path(folder), options)
        print(found.table, flush=True)
        ratios += found.ratios
        if options.out:
            with options.out.open("a") as file:
                file.writelines(json.dumps({"part": name, **line}) + "\n" for line in found.figures)
    print(f"\n{cores} cores; medians of {options.rounds}; load {load:.1f} when it began\n")
    print(ratio_table(ratios))


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
