"""A TCP proxy that does what networks do at their worst: wait, cut, freeze, refuse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from pydantic import AnyHttpUrl

READ_BYTES = 64 * 1024


class FaultProxy:
    """Passes bytes between its own loopback port and a target, until it is told otherwise.

    The faults hold for connections that are open and for new ones. `connected` is set by the first connection.
    `record` keeps what is asked for from then on, in `asked`, and counts the bytes of the answers.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.connected = asyncio.Event()
        self.cuts = 0
        self.asked: bytearray | None = None
        self.answered_bytes = 0
        self.delay_s = 0.0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answers = _Cuts()
        self._requests = _Cuts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, host: str, port: int) -> AsyncIterator[Self]:
        proxy = cls(host, port)
        await proxy.accept()
        try:
            yield proxy
        finally:
            await proxy.refuse()

    @classmethod
    @asynccontextmanager
    async def before(cls, url: AnyHttpUrl) -> AsyncIterator[Self]:
        """A way to the server of a URL."""
        assert url.host is not None
        assert url.port is not None
        async with cls.to(url.host, url.port) as proxy:
            yield proxy

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def record(self) -> None:
        self.asked, self.answered_bytes = bytearray(), 0

    def freeze(self) -> None:
        """Black hole: connections are accepted and stay open, and no byte passes."""
        self._flowing.clear()

    def thaw(self) -> None:
        """What was held back passes now."""
        self._flowing.set()

    def strand(self) -> None:
        """The open connections are dead for good without a sign of it; new ones work: a server that was replaced."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut_answers(self, *after_bytes: int) -> None:
        """Each of the next connections is reset after so many bytes of answers, counted from now on."""
        self._answers.plan(after_bytes)

    def cut_requests(self, *after_bytes: int) -> None:
        """Each of the next connections is reset after so many bytes of requests, counted from now on."""
        self._requests.plan(after_bytes)

    async def refuse(self) -> None:
        """Reset all connections and refuse new ones, as a server that is down."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Listen (again, on the same port)."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        """Reset all connections; new ones are served."""
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        # A cancelled or failed connection ends here: the next one shall not notice.
        with suppress(asyncio.CancelledError, OSError):
            await self._join(reader, writer)
        writer.transport.abort()
        self._writers.discard(writer)
        self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer, self._requests)),
                asyncio.create_task(self._pump(far_reader, writer, self._answers)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: "_Cuts") -> None:
        passed, plan, flowing = 0, cuts.number, self._flowing
        while data := await reader.read(READ_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await flowing.wait()
            if plan != cuts.number:
                passed, plan = 0, cuts.number
            passed += len(data)
            if cuts is self._answers:
                self.answered_bytes += len(data)
            elif self.asked is not None:
                self.asked += data
            if cuts.after and passed > cuts.after[0]:
                writer.write(data[: len(data) - (passed - cuts.after.pop(0))])
                await writer.drain()
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()


class _Cuts:
    """Where the next connections are cut, in bytes; each plan has a number, so that counting can begin anew."""

    def __init__(self) -> None:
        self.number = 0
        self.after: list[int] = []

    def plan(self, after_bytes: Sequence[int]) -> None:
        self.number += 1
        self.after = list(after_bytes)
