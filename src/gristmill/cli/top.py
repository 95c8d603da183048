"""`top`: the queue and its workers, live."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gristmill.cli.connection import DEFAULT_URL, KeyFile, Url, connected, errors_told, key_of
from gristmill.cli.output import Json, out, write_json
from gristmill.cli.screen import Look, drawn

if TYPE_CHECKING:
    from gristmill.client import AsyncClient, Client, JobChange

T = TypeVar("T")

MOST_JOBS = 200
# At most so often is it drawn anew, and at least so often, as ages grow without news.
LEAST_S, MOST_S = 0.1, 1.0
ESCAPE = b"\x1b"


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave.")] = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Watch the queue, the workers and your running jobs, live. q leaves.

    The server tells what has changed; nothing is asked again and again. Looks
    once where standard output is no terminal, and with --json.

    \b
    Examples:
      gristmill top
      gristmill top --json | jq '.queue.kinds[] | select(.oldest_wait_s > 60)'
    """
    if not (as_json or once) and sys.stdout.isatty() and sys.stdin.isatty():
        with errors_told():
            asyncio.run(_live(url, api_key_file))
        return
    with connected(url, api_key_file) as client:
        look = _look(client)
    write_json(look.document()) if as_json else out().print(drawn(look, url))


def _look(client: "Client") -> Look:
    running = {job.id: job.info for job in islice(client.jobs(status="running"), MOST_JOBS)}
    return Look(client.queue(), client.workers(), running)


async def _live(url: str, key_file: Path | None) -> None:
    """Draw until somebody leaves. Raises ClientError: the server refuses, or was not there in the first place."""
    from rich.live import Live

    from gristmill.client import AsyncClient, Retry

    async with AsyncClient(url, api_key=key_of(key_file), retry=Retry(attempts=3, base_s=0.2)) as client:
        look = Look(await client.queue(), await client.workers())
        news, leave = asyncio.Event(), asyncio.Event()
        with _keys(leave), Live(console=out(), screen=True, auto_refresh=False) as live:
            work = [
                asyncio.create_task(leave.wait(), name="keyboard"),
                asyncio.create_task(_kept(look, news, client.queue_changes, look.take_queue), name="queue"),
                asyncio.create_task(_kept(look, news, lambda: _jobs(client, look), look.take_job), name="jobs"),
                asyncio.create_task(_draw(live.update, look, news, url), name="screen"),
            ]
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            task.result()


async def _jobs(client: "AsyncClient", look: Look) -> "AsyncIterator[JobChange]":
    """What happens to jobs; those that run when the stream begins come first."""
    from gristmill.client import Opened

    async for change in client.job_changes():
        if isinstance(change, Opened):
            look.running.clear()
            async for job in client.jobs(status="running"):
                yield job.info
                if len(look.running) >= MOST_JOBS:
                    break
        yield change


async def _kept(
    look: Look, news: asyncio.Event, follow: Callable[[], AsyncIterator[T]], take: Callable[[T], None]
) -> None:
    """Take what a stream tells, for as long as it takes: a server that is away comes back."""
    from gristmill.client import Unreachable
    from gristmill.client.errors import Unavailable

    while True:
        try:
            async for change in follow():
                look.lost = False
                take(change)
                news.set()
        except (Unreachable, Unavailable):
            look.lost = True
            news.set()
            await asyncio.sleep(MOST_S)


async def _draw(update: Callable[..., None], look: Look, news: asyncio.Event, url: str) -> None:
    from rich.console import Group
    from rich.text import Text

    while True:
        console = out()  # its size may be another by now
        news.clear()
        shown = drawn(look, url, width=console.width, height=console.height)
        update(Group(shown, Text("q leaves", style="dim")), refresh=True)
        await asyncio.sleep(LEAST_S)
        try:
            async with asyncio.timeout(MOST_S - LEAST_S):
                await news.wait()
        except TimeoutError:
            continue


@contextmanager
def _keys(leave: asyncio.Event) -> Iterator[None]:
    """Sets `leave` on a q. Keys come at once and unseen; the terminal is left as it was."""
    import termios
    import tty

    keyboard, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(keyboard)

    def pressed() -> None:
        keys = os.read(keyboard, 64)
        # An arrow is an escape and more; an escape alone leaves. What was typed fast comes at once.
        if keys in (b"", ESCAPE) or (not keys.startswith(ESCAPE) and b"q" in keys.lower()):
            leave.set()

    try:
        tty.setcbreak(keyboard)
        loop.add_reader(keyboard, pressed)
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
