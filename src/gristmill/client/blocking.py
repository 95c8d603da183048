"""The client for programs that wait."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gristmill.client import datasets, jobs, keys, live, results, uploads
from gristmill.client.content import Source
from gristmill.client.documents import (
    DatasetInfo,
    Event,
    JobChange,
    JobInfo,
    JobPlan,
    KeyInfo,
    Kind,
    NewKey,
    Profile,
    Queue,
    QueueChange,
    RejectedRow,
    ResultFile,
    ResultInfo,
    RotatedKey,
    WhoAmI,
    Worker,
)
from gristmill.client.errors import ProblemError, Unreachable
from gristmill.client.exchange import Exchange
from gristmill.client.handles import DatasetHandle, JobHandle, ResultHandle, id_of, ignored, job_request, place_of
from gristmill.client.retrying import NEVER, Retry
from gristmill.client.transport import Blocking, Request, completed, each
from gristmill.client.uploads import Format, Way

if TYPE_CHECKING:
    import polars as pl


class Client:
    """One server, over kept connections; close it, or use it as a context manager. Not for several threads at once.

    `url` and `api_key` default to `GRISTMILL_URL` and `GRISTMILL_API_KEY`, and to this machine. Requests that do the
    same when they are sent twice are tried again as `retry` says; uploads and jobs are made so by an Idempotency-Key.
    All methods raise ProblemError (by the class of the problem), Unreachable and UnexpectedAnswer.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout_s: float = 30.0, retry: Retry | None = None
    ) -> None:
        place = place_of(url, api_key, timeout_s)
        self._transport = Blocking(place)
        self._exchange = Exchange(self._transport, retry or Retry(), url=place.url)
        self._once = Exchange(self._transport, NEVER, url=place.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        completed(self._transport.close())

    def ready(self) -> bool:
        """Whether the server is up and reaches what it needs. Asks once."""
        try:
            completed(self._once.send(Request(method="GET", url="/health/ready")))
        except (ProblemError, Unreachable):
            return False
        return True

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        format: Format | None = None,  # noqa: A002 - the word of the contract
        options: Mapping[str, object] | None = None,
        way: Way = "auto",
        key: str | None = None,
        on_sent: Callable[[int], object] = ignored,
    ) -> "Dataset":
        """Send a file (by its path, as bytes, open in binary mode) or a Polars frame, streamed, and have it read in.

        The format is told by the name, unless it is given. `options` say how it is to be read. What is big goes to
        the object store itself, part by part; `way` is `api` or `store` to have it one way or the other. `on_sent`
        gets the bytes sent so far. `key` is an Idempotency-Key; each call makes its own.

        Raises WrongBytes: the source changed while it was sent.
        """
        made = uploads.upload(
            self._exchange, source, name=name, data_format=format, options=options, way=way, key=key, on_sent=on_sent
        )
        return Dataset(completed(made), self._exchange)

    def dataset(self, dataset_id: str) -> "Dataset":
        return Dataset(completed(datasets.look(self._exchange, dataset_id)), self._exchange)

    def datasets(
        self, *, status: str | None = None, name: str | None = None, labels: Sequence[str] = ()
    ) -> "Iterator[Dataset]":
        """Datasets, newest first, fetched page by page as they are taken. `labels` are `name` or `name:value`."""
        for info in each(datasets.listed(self._exchange, status=status, name=name, labels=labels)):
            yield Dataset(info, self._exchange)

    def submit(
        self,
        kind: str,
        dataset: "str | Dataset | None" = None,
        params: Mapping[str, object] | None = None,
        *,
        input_job: "str | Job | None" = None,
        priority: int | None = None,
        scheduled_at: datetime | None = None,
        max_attempts: int | None = None,
        timeout_s: int | None = None,
        labels: Mapping[str, str] | None = None,
        webhook: str | None = None,
        reuse: str | None = None,
        key: str | None = None,
    ) -> "Job":
        """Submit a job on a dataset, or on the rows that `input_job` makes. It waits for what is not there yet."""
        more = jobs.more_fields(
            priority=priority,
            scheduled_at=scheduled_at,
            max_attempts=max_attempts,
            timeout_s=timeout_s,
            labels=labels,
            webhook=webhook,
            reuse=reuse,
        )
        body = job_request(kind, dataset, input_job, params, more)
        return Job(completed(jobs.submit(self._exchange, body, key=key)), self._exchange)

    def plan(
        self,
        kind: str,
        dataset: "str | Dataset | None" = None,
        params: Mapping[str, object] | None = None,
        *,
        input_job: "str | Job | None" = None,
    ) -> JobPlan:
        """What a job would do. Nothing is submitted."""
        return completed(jobs.plan(self._exchange, job_request(kind, dataset, input_job, params, {})))

    def job(self, job_id: str) -> "Job":
        return Job(completed(jobs.look(self._exchange, job_id)), self._exchange)

    def jobs(
        self,
        *,
        status: str | None = None,
        kind: str | None = None,
        dataset: "str | Dataset | None" = None,
        labels: Sequence[str] = (),
    ) -> "Iterator[Job]":
        """Jobs, newest first, fetched page by page as they are taken. The kind `ingest` is what reads datasets in."""
        dataset_id = None if dataset is None else id_of(dataset)
        for info in each(jobs.listed(self._exchange, status=status, kind=kind, dataset_id=dataset_id, labels=labels)):
            yield Job(info, self._exchange)

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of jobs there are."""
        return completed(jobs.kinds(self._exchange))

    def queue(self) -> Queue:
        """What waits and what runs."""
        return completed(jobs.queue(self._exchange))

    def workers(self) -> tuple[Worker, ...]:
        """The workers that were heard of lately."""
        return completed(jobs.workers(self._exchange))

    def job_changes(self) -> Iterator[JobChange]:
        """What happens to your jobs from now on, without an end: Opened (read the list then), a job that is new or
        has changed, Gone. A connection that breaks is made again.
        """
        return each(live.job_changes(self._exchange))

    def queue_changes(self) -> Iterator[QueueChange]:
        """The queue, its workers and what became final in the last two minutes, each when it has changed, without an
        end; Opened before them, each time the stream begins.
        """
        return each(live.queue_changes(self._exchange))

    def who_am_i(self) -> WhoAmI:
        """Whose datasets and jobs are reached, and what may be done."""
        return completed(keys.who_am_i(self._exchange))

    def keys(self, *, owner: str | None = None, status: str | None = None) -> Iterator[KeyInfo]:
        """API keys of all owners, newest first, fetched page by page as they are taken. For an admin."""
        return each(keys.listed(self._exchange, owner=owner, status=status))

    def create_key(
        self,
        owner: str,
        *,
        scopes: Sequence[str] = ("read", "write"),
        name: str = "",
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make an API key. Its `key` is told this once."""
        body = keys.request(owner=owner, scopes=list(scopes), name=name, expires_at=expires_at)
        return completed(keys.create(self._exchange, body))

    def rotate_key(self, key_id: str, *, overlap_s: int = 86_400, expires_at: datetime | None = None) -> RotatedKey:
        """Make a key that takes over from another, which stays valid for so many seconds (3600 or more, if it is the
        one in use). Without `expires_at` it expires as the old one would have. Raises Conflict: it was rotated already.
        """
        body = keys.request(overlap_s=overlap_s, expires_at=expires_at)
        return completed(keys.rotate(self._exchange, key_id, body))

    def revoke_key(self, key_id: str) -> KeyInfo:
        """End a key, from the next request on. Raises Conflict: it is the one in use."""
        return completed(keys.revoke(self._exchange, key_id))


class Dataset(DatasetHandle):
    """A dataset on the server."""

    def __init__(self, info: DatasetInfo, exchange: Exchange) -> None:
        super().__init__(info)
        self._exchange = exchange

    def refresh(self) -> Self:
        """Look at it again."""
        self.info = completed(datasets.look(self._exchange, self.id))
        return self

    def wait(self, *, on_change: Callable[[JobInfo], object] | None = None, timeout_s: float | None = None) -> Self:
        """Wait until it is `ready` or `failed`. `on_change` gets the job that reads it. Raises WaitTimedOut."""
        self.info = completed(datasets.settle(self._exchange, self.id, on_change=on_change, timeout_s=timeout_s))
        return self

    def profile(self) -> Profile:
        return completed(datasets.profile(self._exchange, self.id))

    def rows(self, *, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Its rows as values by column, fetched page by page as they are taken.

        Integers beyond ±(2^53 - 1), decimals, times and bytes are strings, as the server tells them in JSON.
        """
        return each(datasets.rows(self._exchange, f"/datasets/{self.id}/rows", columns))

    def rejects(self, *, reason: str | None = None) -> Iterator[RejectedRow]:
        """The rows that were not loaded, of one reason or all."""
        return each(datasets.rejects(self._exchange, self.id, reason=reason))


class Job(JobHandle):
    """A job on the server."""

    def __init__(self, info: JobInfo, exchange: Exchange) -> None:
        super().__init__(info)
        self._exchange = exchange

    def refresh(self) -> Self:
        """Look at it again."""
        self.info = completed(jobs.look(self._exchange, self.id))
        return self

    def wait(self, *, on_change: Callable[[JobInfo], object] | None = None, timeout_s: float | None = None) -> Self:
        """Wait until it is final, whatever its end: look at `status` and `error`, or take its `result()`.

        `on_change` gets every new look of it. Raises WaitTimedOut.
        """
        self.info = completed(jobs.wait(self._exchange, self.id, on_change=on_change, timeout_s=timeout_s))
        return self

    def events(self, *, after: int | None = None) -> Iterator[Event]:
        """Its history, and on, live, until it is final. A connection that breaks is made again where it was."""
        return each(jobs.events(self._exchange, self.id, after=after))

    def cancel(self) -> Self:
        """Ask for it to be stopped; `wait` for what becomes of it. Raises Conflict: it is final."""
        self.info = completed(jobs.cancel(self._exchange, self.id))
        return self

    def retry(self) -> Self:
        """Run it again. Raises Conflict: it has neither failed nor was it canceled."""
        self.info = completed(jobs.retry(self._exchange, self.id))
        return self

    def result(self) -> "Result":
        """Its result. Raises ResultNotReady, JobCanceled, and for a failed job the exception of its problem."""
        return Result(completed(results.look(self._exchange, self.id)), self.id, self._exchange)


class Result(ResultHandle):
    """The result of a job on the server."""

    def __init__(self, info: ResultInfo, job_id: str, exchange: Exchange) -> None:
        super().__init__(info, job_id)
        self._exchange = exchange

    def to_polars(self) -> "pl.DataFrame":
        """Its rows. Raises NeedsPolars; NoRows: it is a report alone."""
        return completed(results.to_polars(self._exchange, self.job_id, self.info))

    def rows(self, *, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Its rows as values by column, fetched page by page; see `Dataset.rows`."""
        return each(datasets.rows(self._exchange, f"/jobs/{self.job_id}/result/rows", columns))

    def download(
        self, to: str | Path, *, file: ResultFile | None = None, on_received: Callable[[int], object] = ignored
    ) -> Path:
        """Write a file of it (by default the main one: the first table, else the report) to a path, or into a folder.

        It appears there only whole, and only if its SHA-256 is as promised. Raises WrongBytes.
        """
        chosen = file or self.info.main
        place = results.place_of(chosen, Path(to))
        return completed(
            results.download(self._exchange, chosen, to=place, job_id=self.job_id, on_received=on_received)
        )

    def download_all(self, folder: str | Path, *, on_received: Callable[[int], object] = ignored) -> list[Path]:
        """Write all its files into a folder, as `download` does each."""
        return completed(
            results.download_all(self._exchange, self.job_id, self.files, folder=Path(folder), on_received=on_received)
        )
