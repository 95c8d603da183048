"""The main job from upload to results, over HTTP alone, as any client would do it."""

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path

from gristmill.client import Client, ClientError, Dataset, DatasetInfo, Job, JobInfo, Result, ResultInfo
from gristmill.shown.board import Board
from gristmill.shown.figures import number, size

POLL_S = 0.1
SETTLE_LIMIT_S = 120.0
SPEED, COST = "Speed IAS in knots", "Cost Total $"
JOBS: Mapping[str, Mapping[str, object]] = {
    "metrics": {},
    "anomalies": {"method": "modified_zscore", "threshold": 4.0, "columns": [SPEED, COST]},
    "normalize": {
        "steps": [
            {"op": "drop_duplicates"},
            {"op": "fill_nulls", "strategy": "median", "columns": [SPEED]},
            {"op": "scale", "method": "robust", "columns": [SPEED]},
        ]
    },
}
"""What is run. The threshold is above the usual 3.5, which takes the hundreds of strikes at exactly 250 knots, where
airliners fly below 10,000 feet, for anomalies."""


@dataclass(frozen=True)
class Downloaded:
    """A file of a result on this machine; size and SHA-256 were checked on the way."""

    kind: str
    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Findings:
    """All that came back."""

    dataset: DatasetInfo
    results: Mapping[str, ResultInfo]
    downloads: tuple[Downloaded, ...]

    def table(self, kind: str, name: str) -> Path:
        return next(found.path for found in self.downloads if found.kind == kind and found.path.name == name)


def birdstrikes() -> bytes:
    """The data set as CSV; `data/README.md` says where it is from."""
    return gzip.decompress((files("gristmill.demo") / "data" / "birdstrikes.csv.gz").read_bytes())


def tour(client: Client, board: Board, out: Path, *, check: Callable[[], None]) -> Findings:
    """Upload, run all jobs at once, download. `check` is called at every look; it raises when going on is in vain.

    Raises:
        ClientError: the server refused or does not answer, a job did not complete, or bytes are not as promised.
    """
    dataset = _upload(client, board)
    dataset = _settled(client, board, dataset, check)
    jobs = {kind: client.submit(kind, dataset.id, params) for kind, params in JOBS.items()}
    _finish(board, jobs, check)
    for job in jobs.values():
        if job.status != "completed":
            raise ClientError(f"The job {job.kind} ended as {job.status}: {job.error or 'no reason was given'}")
    results = {kind: job.result() for kind, job in jobs.items()}
    downloads = tuple(found for kind, result in results.items() for found in _download(kind, result, out))
    return Findings(dataset.info, {kind: result.info for kind, result in results.items()}, downloads)


def _upload(client: Client, board: Board) -> Dataset:
    content = birdstrikes()
    board.show("upload", "sending", total=len(content), unit="bytes")

    def show(sent: int) -> None:
        board.show("upload", "sending", done=sent, total=len(content), unit="bytes")

    dataset = client.upload(content, name="birdstrikes.csv", format="csv", on_sent=show)
    board.finish("upload", f"{size(dataset.info.size_bytes)} stored")
    return dataset


def _settled(client: Client, board: Board, dataset: Dataset, check: Callable[[], None]) -> Dataset:
    """The dataset, once its rows are read."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while not dataset.info.settled:
        check()
        if time.monotonic() > deadline:
            raise ClientError(f"The dataset is still {dataset.status} after {SETTLE_LIMIT_S:.0f} s.")
        for job in islice(client.jobs(dataset=dataset, kind="ingest"), 1):
            _show_progress(board, "ingest", job.info)
        time.sleep(POLL_S)
        dataset.refresh()
    if dataset.status != "ready":
        board.finish("ingest", dataset.status, well=False)
        raise ClientError(f"The dataset ended as {dataset.status}: {dataset.error or 'no reason was given'}")
    board.finish("ingest", f"{number(dataset.info.rows_loaded)} rows loaded")
    return dataset


def _finish(board: Board, jobs: Mapping[str, Job], check: Callable[[], None]) -> None:
    """Look at all jobs until the last is final."""
    for kind, job in jobs.items():
        board.show(kind, job.status)
    while running := [kind for kind, job in jobs.items() if not job.final]:
        check()
        time.sleep(POLL_S)
        for kind in running:
            _show(board, kind, jobs[kind].refresh().info)


def _show(board: Board, kind: str, job: JobInfo) -> None:
    if job.final:
        board.finish(kind, _ending(job), well=job.status == "completed")
    else:
        _show_progress(board, kind, job)


def _show_progress(board: Board, kind: str, job: JobInfo) -> None:
    if job.progress is not None and job.status == "running":
        known = job.progress
        board.show(kind, known.stage, done=known.done, total=known.total, unit=known.unit)
    else:
        board.show(kind, job.status)


def _ending(job: JobInfo) -> str:
    return job.status if job.seconds is None else f"{job.status} in {job.seconds:.2f} s"


def _download(kind: str, result: Result, out: Path) -> list[Downloaded]:
    folder = out / kind
    folder.mkdir(parents=True, exist_ok=True)
    return [Downloaded(kind, result.download(folder, file=file), file.size_bytes, file.sha256) for file in result.files]
