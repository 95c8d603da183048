"""The command line that every adapter has, so that one harness can drive queues that know nothing of each other.

An adapter is a script with its own dependencies (PEP 723). It defines `BACKEND` (postgres or redis), `VARIANTS` (name
to keyword arguments of `worker_main`), `JOBS` (name to jobs a drain) and the functions `setup(url)`, `connect(url)`,
`enqueue_one(client, i)`, `enqueue_many(client, ids)` (None: there is no such call), `unfinished(client)`,
`worker_main(url, ran, **variant)` and, if it keeps finished jobs, `fill_history(client, n)`; also, where it has them,
`insert_one(client, i)`: the least that writes the same rows, and `close(client)`. Each may be async. A handler calls
`ran(i)` and does nothing else.
"""

import argparse
import asyncio
import inspect
import json
import mmap
import os
import sys
import time

WATCH_LIMIT_S = 60


class Stamps:
    """One 64-bit slot a job in a file that all processes share: when its handler began. The last counts repeats."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.slots = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    def ran(self, i):
        if self.slots[i]:
            self.slots[len(self.slots) - 1] += 1
        self.slots[i] = time.monotonic_ns()


async def _settled(value):
    return await value if inspect.isawaitable(value) else value


async def _close(adapter, client):
    if "close" in adapter:
        await adapter["close"](client)


async def _one_by_one(adapter, options):
    client = await _settled(adapter["connect"](options.url))
    moments = []
    start = begin = time.monotonic_ns()
    for n in range(options.warmup + options.count):
        if n == options.warmup:
            start = time.monotonic_ns()
        await _settled(adapter[options.call or "enqueue_one"](client, options.first + n))
        moments.append(time.monotonic_ns())
        if options.spacing:  # by the clock, so that a slow call does not lower the rate
            await asyncio.sleep(max(0.0, begin / 1e9 + (n + 1) * options.spacing - time.monotonic()))
    await _close(adapter, client)
    return {"seconds": (moments[-1] - start) / 1e9, "committed": moments[options.warmup :]}


async def _in_bulk(adapter, options):
    client = await _settled(adapter["connect"](options.url))
    ids = range(options.first, options.first + options.count)
    start = time.monotonic_ns()
    if adapter["enqueue_many"] is None:
        for i in ids:
            await _settled(adapter["enqueue_one"](client, i))
    else:
        await _settled(adapter[options.call or "enqueue_many"](client, ids))
    seconds = (time.monotonic_ns() - start) / 1e9
    await _close(adapter, client)
    return {"seconds": seconds}


async def _watch(adapter, options):
    """Asked by a line on standard input, answer when the last completion is committed."""
    client = await _settled(adapter["connect"](options.url))
    await _settled(adapter["unfinished"](client))
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        patience = time.monotonic() + WATCH_LIMIT_S
        while (left := await _settled(adapter["unfinished"](client))) and time.monotonic() < patience:
            await asyncio.sleep(0.002)
        print(json.dumps({"at": time.monotonic_ns(), "left": left}), flush=True)
    await _close(adapter, client)


def main(adapter):
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for name, kind, default in (
        ("url", str, None),
        ("first", int, 0),
        ("count", int, 0),
        ("warmup", int, 0),
        ("spacing", float, 0.0),
        ("call", str, ""),
        ("variant", str, None),
        ("slots", str, None),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    options = parser.parse_args()
    sys.argv[1:] = []
    answer = {}
    match options.command:
        case "describe":
            answer = {
                "backend": adapter["BACKEND"],
                "variants": list(adapter["VARIANTS"]),
                "jobs": adapter["JOBS"],
                "bulk": adapter["enqueue_many"] is not None,
                "insert": "insert_one" in adapter,
                "history": "fill_history" in adapter,
            }
        case "setup":
            made = adapter["setup"](options.url)
            asyncio.run(made) if inspect.isawaitable(made) else None
        case "enqueue-one":
            answer = asyncio.run(_one_by_one(adapter, options))
        case "enqueue-many":
            answer = asyncio.run(_in_bulk(adapter, options))
        case "history":

            async def fill():
                client = await _settled(adapter["connect"](options.url))
                await _settled(adapter["fill_history"](client, options.count))
                await _close(adapter, client)

            asyncio.run(fill())
        case "watch":
            asyncio.run(_watch(adapter, options))
            os._exit(0)
        case "worker":
            work = adapter["worker_main"](
                options.url, Stamps(options.slots).ran, **adapter["VARIANTS"][options.variant]
            )
            asyncio.run(work) if inspect.isawaitable(work) else None
            return
    print(json.dumps(answer), flush=True)
    os._exit(0)  # some clients keep threads that nobody waits for
