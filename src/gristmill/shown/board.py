"""Live progress: a bar for each thing under way; without a terminal, a plain line for each change."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from gristmill.shown.figures import number, seconds, size


class Elapsed(ProgressColumn):
    """Seconds since it began, with tenths: most of it takes less than one."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(f"{elapsed or 0:5.1f} s", style="dim")


class Board:
    """Shows how far each named thing is, while the block runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._stages: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24, complete_style="cyan", finished_style="green", pulse_style="cyan"),
            TextColumn("{task.fields[words]:<34}", markup=False),
            Elapsed(),
            console=console,
            disable=not self._live,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(
        self,
        name: str,
        stage: str,
        *,
        done: int = 0,
        total: int | None = None,
        unit: str = "rows",
        left_s: float | None = None,
    ) -> None:
        """`done` of `total` (None: nobody knows yet) in a stage; `left_s` seconds are left, if anybody can say."""
        fresh = self._stages.get(name) != stage
        if fresh and not self._live:
            self._line(name, stage)
        self._stages[name] = stage
        how_far = f"{stage} {_amount(done, total, unit)}" if total else stage
        if left_s:
            how_far += f", {seconds(left_s)} left"
        # Several passes of a stage raise its total: the bar shows what is known now.
        # However short it is, each stage is seen.
        self._progress.update(self._task(name), completed=done, total=total, words=how_far, refresh=fresh)

    def finish(self, name: str, words: str, *, well: bool = True) -> None:
        """It is over: a full bar, or one that stays where it was."""
        self._stages[name] = words
        task = self._task(name)
        if well:
            self._progress.update(task, completed=1, total=1, words=words)
        else:
            self._progress.update(task, words=words)
        self._progress.stop_task(task)
        if not self._live:
            self._line(name, words)

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, words="")
        return self._tasks[name]

    def _line(self, name: str, words: str) -> None:
        self._console.print(f"  {name:<10} {words}", markup=False, highlight=False)


def _amount(done: int, total: int, unit: str) -> str:
    if unit == "bytes":
        return f"{size(done)} of {size(total)}"
    return f"{number(done)} of {number(total)} {unit}"
