"""A job under way, shown as a bar for each thing that happens to it, on standard error."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from gristmill.cli.output import err, say
from gristmill.shown.figures import number, seconds, size

if TYPE_CHECKING:
    from gristmill.client import Dataset, Job, JobInfo


class Following:
    """Bars while the block runs; plain lines where standard error is no terminal; nothing with `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        from gristmill.shown.board import Board

        self._board = None if quiet else Board(err())

    def __enter__(self) -> Self:
        if self._board is not None:
            self._board.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.__exit__(kind, error, trace)

    def bytes(self, name: str, stage: str, done: int, total: int | None) -> None:
        """So many bytes have gone or come."""
        if self._board is not None:
            self._board.show(name, stage, done=done, total=total, unit="bytes")

    def done(self, name: str, words: str, *, well: bool = True) -> None:
        if self._board is not None:
            self._board.finish(name, words, well=well)

    def job(self, job: "JobInfo") -> None:
        """What was heard of a job."""
        if self._board is None:
            return
        if job.final:
            self._board.finish(job.kind, ending(job), well=job.status == "completed")
        elif job.status == "running" and job.cancel_requested_at is not None:
            self._board.show(job.kind, "is being canceled")
        elif job.status == "running" and job.progress is not None:
            at = job.progress
            self._board.show(job.kind, at.stage, done=at.done, total=at.total, unit=at.unit, left_s=at.seconds_left)
        else:
            self._board.show(job.kind, job.status)

    def ingest(self, dataset: "Dataset", *, timeout_s: float | None) -> None:
        """Wait until a dataset is read in, or can't be."""
        dataset.wait(on_change=lambda job: None if job.final else self.job(job), timeout_s=timeout_s)
        info = dataset.info
        if info.status == "ready":
            rejected = f", {number(info.rows_rejected)} rejected" if info.rows_rejected else ""
            self.done("ingest", f"{number(info.rows_loaded)} rows loaded{rejected}")

    def wait(self, job: "Job", *, timeout_s: float | None) -> None:
        job.wait(on_change=self.job, timeout_s=timeout_s)


def ending(job: "JobInfo") -> str:
    """How a job ended, in a line."""
    took = f" in {seconds(job.seconds)}" if job.seconds is not None else ""
    made = f", {size(job.result.size_bytes)} made" if job.result is not None else ""
    return f"{job.status}{took}{made}"


def say_notes(source: "Dataset | str | None") -> None:
    """What was told of the reading of a file that was sent: it may be why a job finds nothing in it."""
    if source is not None and not isinstance(source, str):
        for warning in source.info.warnings or ():
            say(f"note: {warning}")


def say_why(job: "JobInfo") -> None:
    """Why a job did not complete, if anybody said so."""
    if job.error is not None and job.status == "failed":
        say(f"gristmill: {job.error}")
