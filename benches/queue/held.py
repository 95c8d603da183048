"""Jobs offered at a steady rate while a transaction elsewhere holds its snapshot: does a backlog grow?"""

import argparse
import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from harness import ADAPTERS, Adapter, Bench, wait
from servers import PostgresServer

from benches.measuring import Found, Wanted, median

OFFERED_PER_S = 300
SPANS = 5


def measure(folder: Path, options: argparse.Namespace) -> Found:
    server = PostgresServer(folder)
    try:
        offered, began = run(Bench(server, folder), options.held_s)
    finally:
        server.stop()
    lines = [
        f"{OFFERED_PER_S} jobs/s offered for {options.held_s:.0f} s, a snapshot held all the time",
        "| fifth of the time | pick-up p50 ms | p99 ms | jobs waiting at its end |",
        "|---|---:|---:|---:|",
    ]
    waiting: list[int] = []
    figures: list[dict[str, object]] = []
    for n in range(SPANS):
        first, last = n * len(offered) // SPANS, (n + 1) * len(offered) // SPANS
        waits = sorted((began[i] - offered[i]) / 1e6 for i in range(first, last))
        p50, p99 = median(waits), waits[int(len(waits) * 0.99)]
        waiting.append(sum(began[i] > offered[last - 1] for i in range(last)))
        lines.append(f"| {n + 1} | {p50:.2f} | {p99:.2f} | {waiting[-1]} |")
        figures.append({"fifth": n + 1, "p50_ms": p50, "p99_ms": p99, "waiting": waiting[-1]})
    growth = Wanted("snapshot held: backlog grown / jobs offered", (waiting[-1] - waiting[0]) / len(offered), "0.00")
    return Found("\n".join(lines), [growth], figures)


def run(bench: Bench, seconds: float) -> tuple[list[int], list[int]]:
    """When each job was committed and when its handler began, in nanoseconds of one clock."""
    adapter = Adapter(ADAPTERS / "gristmill_.py")
    count = int(seconds * OFFERED_PER_S)
    url = bench.server.fresh()
    adapter("setup", url=url)
    with bench.working(adapter, url, adapter.about.variants[0], jobs=count, workers=1) as (slots, _), held(url):
        said = adapter("enqueue-one", url=url, count=count, spacing=1 / OFFERED_PER_S)
        wait(lambda: all(slots[n] for n in range(count - 1, -1, -1)))
        return said["committed"], list(slots[:count])


@contextmanager
def held(url: str) -> Iterator[None]:
    """A transaction in which nothing happens any more, on a thread of its own."""
    ready, over = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await connection.fetchval("SELECT count(*) FROM jobs")
        ready.set()
        await asyncio.to_thread(over.wait)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    try:
        assert ready.wait(30), "the transaction did not begin"
        yield
    finally:
        over.set()
        thread.join()
