"""Asks for one job again and again, at a fixed rate, until its input is closed; prints how long the answers took.

    python -m benches.api.probe PORT PATH RATE

A process of its own, so that whatever else the bench does is not in the figures. An answer's time runs from the moment
at which it was to be asked for: a server that stands still delays all that were due meanwhile, and each of them counts.
"""

import asyncio
import json
import statistics
import sys
import time

CONNECTIONS = 8


async def ask(port: int, path: str, due: "asyncio.Queue[float]", took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while True:
        at = await due.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.monotonic() - at)
        due.task_done()


async def probe(port: int, path: str, rate: float) -> None:
    due: asyncio.Queue[float] = asyncio.Queue()
    took: list[float] = []
    closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    asking = [asyncio.create_task(ask(port, path, due, took)) for _ in range(CONNECTIONS)]
    at = time.monotonic()
    while not closed.done():
        assert not any(task.done() for task in asking), [task.exception() for task in asking if task.done()]
        due.put_nowait(at)
        at += 1 / rate
        await asyncio.sleep(max(0.0, at - time.monotonic()))
    await due.join()
    for task in asking:
        task.cancel()
    told = {"answers": len(took), "p50_ms": statistics.median(took) * 1e3, "most_ms": max(took) * 1e3}
    print(json.dumps({**told, "p99_ms": statistics.quantiles(took, n=100)[98] * 1e3}))


if __name__ == "__main__":
    asyncio.run(probe(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
