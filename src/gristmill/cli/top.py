"""`top`: the queue and its workers, live."""

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill.cli.connection import DEFAULT_URL, KeyFile, Url, connected
from gristmill.cli.jobs import progress
from gristmill.cli.output import Json, out, table_of, write_json
from gristmill.shown.figures import ago, number, seconds

if TYPE_CHECKING:
    from gristmill.client import Client, JobInfo, Queue, Worker

MOST_JOBS = 15


@dataclass(frozen=True)
class Look:
    """What was seen at a time."""

    queue: "Queue"
    workers: "Sequence[Worker]"
    running: "Sequence[JobInfo]"

    def document(self) -> dict[str, Any]:
        return {"queue": self.queue, "workers": self.workers, "running": self.running}


def top(
    *,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave.")] = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Watch the queue, the workers and your running jobs. q leaves.

    Looks once where standard output is no terminal, and with --json.

    \b
    Examples:
      gristmill top
      gristmill top --json | jq '.queue.kinds[] | select(.oldest_wait_s > 60)'
    """
    with connected(url, api_key_file) as client:
        if as_json:
            write_json(_look(client).document())
        elif once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            out().print(_drawn(_look(client), url))
        else:
            _live(client, url, interval)


def _look(client: "Client") -> Look:
    running = [job.info for job in islice(client.jobs(status="running"), MOST_JOBS)]
    return Look(client.queue(), client.workers(), running)


def _live(client: "Client", url: str, interval_s: float) -> None:
    from rich.live import Live

    with _keys() as pressed, Live(console=out(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(_look(client), url), refresh=True)
            if pressed(interval_s):
                return


@contextmanager
def _keys() -> Iterator[Any]:
    """What waits so many seconds for a q. Keys come at once and unseen; the terminal is left as it was."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def pressed(wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        while (left_s := deadline - time.monotonic()) > 0:
            if select.select([keyboard], [], [], left_s)[0] and os.read(keyboard, 1) in (b"q", b"Q", b"\x1b", b""):
                return True
        return False

    try:
        tty.setcbreak(keyboard)
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _drawn(look: Look, url: str) -> Any:
    from rich.console import Group
    from rich.text import Text

    slots, busy = sum(worker.slots for worker in look.workers), sum(worker.running for worker in look.workers)
    due = sum(kind.due for kind in look.queue.kinds)
    paused = "   PAUSED" if look.queue.paused else ""
    head = f"{url}   {len(look.workers)} workers, {busy} of {slots} slots busy, {number(due)} jobs due{paused}"
    kinds = [
        (
            kind.kind + (" (paused)" if kind.paused else ""),
            *(number(count) for count in (kind.due, kind.running, kind.delayed, kind.blocked)),
            seconds(kind.oldest_wait_s),
        )
        for kind in look.queue.kinds
    ]
    workers = [(w.host, w.pid, f"{w.running}/{w.slots}", w.version, ago(w.heartbeat_at)) for w in look.workers]
    jobs = [(job.id, job.kind, progress(job), ago(job.started_at)) for job in look.running]
    queue = ("queue", "due", "running", "delayed", "blocked", "oldest wait")
    parts = [Text(head, style="bold"), Text(), table_of(queue, kinds, right=queue[1:])]
    parts += [Text(), table_of(("worker", "pid", "slots", "version", "heard of"), workers, right=("pid",))]
    parts += [Text(), table_of(("running", "kind", "progress", "started"), jobs)]
    return Group(*parts, Text("\nq leaves", style="dim"))
