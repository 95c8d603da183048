"""Follows jobs by server-sent events over many connections, and keeps them open.

    python -m benches.api.followers PORT COUNT FILE_OF_PATHS

Prints a line when each has been told the first event of its job. Then, for each line of its input, a path, it prints
a line when all who follow that one have been told of its end. Ends with its input.
"""

import asyncio
import sys
from pathlib import Path

OPENING = 200  # at once, so that the queue of the listener is never full


class Follower:
    def __init__(self, path: str) -> None:
        self.path = path
        self._reader: asyncio.StreamReader | None = None

    async def open(self, port: int) -> None:
        self._reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {self.path}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        await self._reader.readuntil(b"event: created\n")
        self._writer = writer  # kept, or it would close

    async def end(self) -> None:
        assert self._reader is not None
        await self._reader.readuntil(b"event: canceled\n")


async def follow(port: int, count: int, paths: list[str]) -> None:
    followers = [Follower(paths[n % len(paths)]) for n in range(count)]
    room = asyncio.Semaphore(OPENING)

    async def opened(follower: Follower) -> None:
        async with room:
            await follower.open(port)

    await asyncio.gather(*map(opened, followers))
    print("open", flush=True)
    loop = asyncio.get_running_loop()
    while path := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        await asyncio.gather(*(follower.end() for follower in followers if follower.path == path))
        print("told", flush=True)


if __name__ == "__main__":
    asyncio.run(follow(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_text().split()))
