"""What forgetting finished jobs costs, which is all that partitions could save: claims do not read finished rows."""

import argparse
import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness import ADAPTERS, Adapter, Bench
from servers import PostgresServer

from benches.measuring import Found, Wanted, median
from gristmill.db.engine import Database
from gristmill.db.retention import FIRST, prune_jobs

KEPT, KEEP_S = 300_000, 20.0


def measure(folder: Path, options: argparse.Namespace) -> Found:
    adapter = Adapter(ADAPTERS / "gristmill_.py")
    rates: dict[str, list[float]] = {"no pruning": [], "pruning all the time": []}
    pruned: list[float] = []
    server = PostgresServer(folder)
    try:
        bench = Bench(server, folder)
        for _ in range(options.rounds):
            url = server.fresh()
            adapter("setup", url=url)
            adapter("history", url=url, count=KEPT)
            time.sleep(KEEP_S)
            rates["no pruning"].append(drained(bench, adapter, url))
            with pruning(url) as counted:
                began = time.monotonic()
                rates["pruning all the time"].append(drained(bench, adapter, url))
                pruned.append(sum(counted) / (time.monotonic() - began))
    finally:
        server.stop()
    lines = ["| finished jobs in the tables | drain /s |", "|---|---:|"]
    lines += [f"| {name} | {median(found):,.0f} |" for name, found in rates.items()]
    lines.append(
        f"\n{median(pruned):,.0f} jobs with their events pruned a second meanwhile, by one worker that does not rest"
    )
    ratio = median(rates["pruning all the time"]) / median(rates["no pruning"])
    figures = [{"name": name, "drain": found} for name, found in rates.items()]
    return Found("\n".join(lines), [Wanted("drain while pruning / not", ratio, "told only")], figures)


def drained(bench: Bench, adapter: Adapter, url: str) -> float:
    variant = adapter.about.variants[0]
    jobs = adapter.about.jobs[variant]
    bench.enqueue_many(adapter, url, first=0, count=jobs)
    return bench.drain(adapter, url, variant, jobs=jobs, workers=1).rate


@contextmanager
def pruning(url: str) -> Iterator[list[int]]:
    """Windows pruned one after the other, as the worker's pruner does, on a thread of its own."""
    counted: list[int] = []
    over = threading.Event()

    async def prune() -> None:
        from gristmill_ import settings_for  # noqa: PLC0415 (an adapter: on the path once the harness is here)

        async with Database.open(settings_for(url)) as database:
            after = FIRST
            while not over.is_set():
                walked = await prune_jobs(database, after=after, keep_s=KEEP_S, keep_failed_s=KEEP_S)
                counted.append(walked.pruned)
                after = walked.after or FIRST

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, prune())
        try:
            yield counted
        finally:
            over.set()
            running.result()
