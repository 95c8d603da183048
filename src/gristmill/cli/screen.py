"""What `top` shows: what was heard of the queue, its workers and your running jobs, drawn for a screen of any size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_never

from gristmill.cli.jobs import progress
from gristmill.cli.output import table_of
from gristmill.shown.figures import ago, number, seconds

if TYPE_CHECKING:
    from gristmill.client import JobChange, JobInfo, Minute, Queue, QueueChange, Worker

# The lines that are no rows: two of the head, the foot, and for each table its heading and a blank line.
OTHER_LINES = 2 + 1 + 3 * 2
# From this width on the whole id of a job is shown.
WHOLE_IDS = 100
HOST = 20


@dataclass
class Look:
    """What is known now. `lost`: the server does not answer, and all this is old."""

    queue: "Queue"
    workers: "Sequence[Worker]"
    running: "dict[str, JobInfo]" = field(default_factory=dict)
    minutes: "Sequence[Minute]" = ()
    lost: bool = False

    def document(self) -> dict[str, Any]:
        return {"queue": self.queue, "workers": self.workers, "running": list(self.running.values())}

    def take_queue(self, change: "QueueChange") -> None:
        from gristmill.client import History, Opened, Queue, WorkerList

        match change:
            case Queue():
                self.queue = change
            case WorkerList():
                self.workers = change.items
            case History():
                self.minutes = change.items
            case Opened():
                pass
            case _:
                assert_never(change)

    def take_job(self, change: "JobChange") -> None:
        from gristmill.client import Gone, JobInfo, Opened

        match change:
            case JobInfo() if change.status == "running":
                self.running[change.id] = change
            case JobInfo() | Gone():
                self.running.pop(change.id, None)
            case Opened():
                pass
            case _:
                assert_never(change)


def drawn(look: Look, url: str, *, width: int | None = None, height: int | None = None) -> Any:
    """All there is; with a `height`, as many rows as fit it, each in one line."""
    from rich.console import Group
    from rich.text import Text

    sections = (
        _queue(look),
        _workers(look, whole=height is None),
        _running(look, whole=width is None or width >= WHOLE_IDS),
    )
    wanted = [len(rows) for _, rows, _ in sections]
    shown = wanted if height is None else shares(wanted, height - OTHER_LINES)
    parts = [_head(look, url), _rate(look)]
    for (headings, rows, right), count in zip(sections, shown, strict=True):
        # What is cut is said in the last line that there is.
        kept = (
            rows if count == len(rows) else [*rows[: max(0, count - 1)], (f"… {len(rows) - max(0, count - 1)} more",)]
        )
        whole = [(*row, *("" for _ in headings[len(row) :])) for row in kept]
        parts += [Text(), table_of(headings, whole, right=right, one_line=height is not None)]
    return Group(*parts)


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """Lines for each section: what it wants, and where there is not room for all, as evenly as can be. One at least."""
    given = [min(1, want) for want in wanted]
    while sum(given) < room:
        short = [place for place, want in enumerate(wanted) if given[place] < want]
        if not short:
            break
        given[min(short, key=lambda place: given[place])] += 1
    return given


Section = tuple[tuple[str, ...], list[tuple[object, ...]], tuple[str, ...]]


def _queue(look: Look) -> Section:
    from rich.text import Text

    rows: list[tuple[object, ...]] = [
        (
            Text.assemble(kind.kind, (" paused", "yellow")) if kind.paused else kind.kind,
            *(number(count) for count in (kind.due, kind.running, kind.delayed, kind.blocked)),
            seconds(kind.oldest_wait_s),
        )
        for kind in look.queue.kinds
    ]
    headings = ("queue", "due", "running", "delayed", "blocked", "oldest wait")
    return headings, rows, headings[1:]


def _workers(look: Look, *, whole: bool) -> Section:
    rows: list[tuple[object, ...]] = [
        (
            worker.host if whole else _short(worker.host),
            worker.pid,
            f"{worker.running}/{worker.slots}",
            _runs(worker),
            ago(worker.heartbeat_at),
        )
        for worker in look.workers
    ]
    return ("worker", "pid", "slots", "runs", "heard of"), rows, ("pid",)


def _short(host: str) -> str:
    """A name that leaves room for what is run."""
    return host if len(host) <= HOST else f"{host[: HOST - 1]}…"


def _runs(worker: "Worker") -> str:
    now = datetime.now(UTC)
    runs = [f"{run.kind} {seconds(max(0.0, (now - run.started_at).total_seconds()))}" for run in worker.runs]
    return ", ".join(runs) or "idle"


def _running(look: Look, *, whole: bool) -> Section:
    # The end of an id is what makes it one of its kind.
    rows: list[tuple[object, ...]] = [
        (job.id if whole else f"…{job.id[-12:]}", job.kind, progress(job), ago(job.started_at))
        for job in sorted(look.running.values(), key=lambda job: job.started_at or job.created_at)
    ]
    return ("your running jobs", "kind", "progress", "started"), rows, ()


def _head(look: Look, url: str) -> Any:
    from rich.text import Text

    slots, busy = sum(worker.slots for worker in look.workers), sum(worker.running for worker in look.workers)
    due = sum(kind.due for kind in look.queue.kinds)
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(f"{len(look.workers)} workers, {busy} of {slots} slots busy, {number(due)} jobs due", style="bold")
    if look.queue.paused:
        head.append("   PAUSED", style="bold yellow")
    if look.lost:
        head.append("   no answer; trying again", style="bold red")
    return head.append(f"   {url}", style="dim")


def _rate(look: Look) -> Any:
    """What became final in the minute under way and the one before."""
    from rich.text import Text

    completed, failed, canceled = (
        sum(getattr(minute, name) for minute in look.minutes) for name in ("completed", "failed", "canceled")
    )
    line = Text(f"this minute and the last: {number(completed)} completed, ", no_wrap=True, overflow="ellipsis")
    line.append(f"{number(failed)} failed", style="red" if failed else "")
    return line.append(f", {number(canceled)} canceled")
