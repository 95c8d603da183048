"""The typed client for other people's programs. It knows the REST contract and nothing of the server.

with Client("http://127.0.0.1:8000") as client:
    dataset = client.upload(Path("strikes.csv"))
    job = client.wait(client.submit("metrics", dataset.id).id)
    for file in client.result(job.id).files:
        client.download(file, to=Path(file.name))
"""

import base64
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import httpx
import msgspec

CHUNK_BYTES = 256 * 1024
PAGE_ROWS = 500
POLL_S = 1.0
LEAST_POLL_S = 0.02
# The URLs of parts are asked for again after so long; they live for 15 minutes unless the server says otherwise.
URLS_S = 300.0
MEDIA_TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
TRY_AGAIN = (429, 503)
# A proxy named in the environment is for the world outside; this machine is not reached through it.
NO_PROXY = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}

Format = Literal["csv", "ndjson", "json", "parquet", "arrow", "xlsx"]
T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True):
    """One place in the request that is wrong, by JSON Pointer."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not work, as the server says it (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int | None = None
    detail: str = ""
    instance: str | None = None
    errors: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        where = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in self.errors)
        return f"{self.detail or self.title or self.type}{where}"


class Column(msgspec.Struct, frozen=True):
    name: str
    type: str


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset; what is known only when it is `ready` is None before."""

    id: str
    name: str
    status: str
    format: str
    size_bytes: int
    sha256: str | None = None
    columns: tuple[Column, ...] | None = None
    rows_read: int | None = None
    rows_loaded: int | None = None
    rows_rejected: int | None = None
    rows_repaired: int | None = None
    profile: dict[str, Any] | None = None
    warnings: tuple[str, ...] | None = None
    error: Problem | None = None

    @property
    def settled(self) -> bool:
        return self.status in {"ready", "failed"}


class PresignedPart(msgspec.Struct, frozen=True):
    """A part to be sent to its URL, which needs no key and lives for a while."""

    number: int
    size_bytes: int
    url: str
    etag: str | None = None


class PresignedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload under way, with some of its parts."""

    id: str
    part_bytes: int
    parts_total: int
    parts: tuple[PresignedPart, ...]


class Progress(msgspec.Struct, frozen=True):
    """`done` of `total` (None while unknown) rows or bytes in a named stage. `seconds_left` is an estimate, if any."""

    stage: str
    done: int
    total: int | None = None
    unit: str = "rows"
    seconds_left: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: str
    dataset_id: str
    status: str
    attempt: int = 0
    progress: Progress | None = None
    error: Problem | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def final(self) -> bool:
        return self.status in {"completed", "failed", "canceled"}


class JobPage(msgspec.Struct, frozen=True):
    items: tuple[Job, ...]


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a result; `url` works without a key, for a while."""

    name: str
    url: str
    media_type: str
    size_bytes: int
    sha256: str
    rows: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    files: tuple[ResultFile, ...]
    report: dict[str, Any]


class RowPage(msgspec.Struct, frozen=True):
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    next: str | None = None


class RejectedRow(msgspec.Struct, frozen=True):
    """A row of the original that was not loaded: its line and column there, from 1, why, and its text."""

    line: int
    column: int | None
    reason: str
    raw: str


class RejectPage(msgspec.Struct, frozen=True):
    items: tuple[RejectedRow, ...]
    next: str | None = None


Paged = TypeVar("Paged", RowPage, RejectPage)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a dataset: figures of the whole and of each column, and how the original was read."""

    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_repaired: int
    dialect: dict[str, Any]
    warnings: tuple[str, ...]
    figures: dict[str, Any]
    columns: tuple[dict[str, Any], ...]


class ClientError(Exception):
    """Base of what the client raises."""


class ProblemError(ClientError):
    """The server refused; `problem` says why. `retry_after_s` is set where it asked to be tried again."""

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after_s = retry_after_s


class Unreachable(ClientError):
    """The server, or the store that a file is downloaded from, does not answer."""


class WrongBytes(ClientError):
    """The bytes that came are not the bytes that were promised; nothing is kept."""


class Client:
    """One server, over kept connections. Methods raise ProblemError and Unreachable."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, mounts=NO_PROXY)
        # Files come from the object store, which must not see the key.
        self._store = httpx.Client(timeout=timeout_s, follow_redirects=True, mounts=NO_PROXY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()
        self._store.close()

    def upload(
        self,
        content: Path | bytes,
        *,
        name: str | None = None,
        format: Format = "csv",  # noqa: A002 - the word of the contract
        on_sent: Callable[[int], object] = lambda sent: None,
    ) -> Dataset:
        """Send a file, streamed, with its SHA-256; `name` may be left out for a path. `on_sent` gets bytes sent."""
        known = name or (content.name if isinstance(content, Path) else "upload")
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        digest = hashlib.sha256()
        for chunk in _chunks(content):
            digest.update(chunk)
        headers = {
            "Content-Type": MEDIA_TYPES[format],
            "Content-Length": str(size),
            "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        }
        body, query = _chunks(content, on_sent), {"name": known}
        return self._ask(Dataset, "POST", "/datasets", params=query, headers=headers, content=body)

    def ready(self) -> bool:
        """Whether the server is up and reaches what it needs."""
        try:
            self._send("GET", "/health/ready")
        except (ProblemError, Unreachable):
            return False
        return True

    def upload_presigned(
        self,
        content: Path | bytes,
        *,
        name: str | None = None,
        format: Format = "csv",  # noqa: A002 - the word of the contract
        on_sent: Callable[[int], object] = lambda sent: None,
    ) -> Dataset:
        """Send a file to the object store itself, part by part; `on_sent` gets bytes sent. A part in which the
        connection broke is sent again, once.

        Raises:
            WrongBytes: the file has changed meanwhile.
        """
        known = name or (content.name if isinstance(content, Path) else "upload")
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        body = {"name": known, "format": format, "upload": "presigned", "size_bytes": size}
        upload = self._ask(PresignedUpload, "POST", "/datasets", json=body)
        path = f"/datasets/{upload.id}"
        etags: dict[int, str] = {}
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
            while len(etags) < upload.parts_total:
                asked = time.monotonic()
                for part in upload.parts:
                    chunk = source.read(part.size_bytes)
                    if len(chunk) != part.size_bytes:
                        raise WrongBytes(f"{known} has become shorter than {size} bytes.")
                    etags[part.number] = self._put_part(part, chunk)
                    on_sent(source.tell())
                    if time.monotonic() - asked >= URLS_S:
                        break
                if len(etags) < upload.parts_total:
                    upload = self._ask(PresignedUpload, "GET", f"{path}/upload", params={"after": len(etags)})
        parts = [{"number": number, "etag": etag} for number, etag in etags.items()]
        return self._ask(Dataset, "POST", f"{path}/complete", json={"parts": parts})

    def _put_part(self, part: PresignedPart, chunk: bytes) -> str:
        try:
            answer = self._store.put(part.url, content=chunk)
        except httpx.RequestError:
            try:
                answer = self._store.put(part.url, content=chunk)
            except httpx.RequestError as error:
                raise Unreachable(f"Part {part.number} can't be sent: {_said(error)}.") from error
        _check(answer)
        return str(answer.headers.get("ETag", ""))

    def dataset(self, dataset_id: str) -> Dataset:
        return self._ask(Dataset, "GET", f"/datasets/{dataset_id}")

    def profile(self, dataset_id: str) -> Profile:
        return self._ask(Profile, "GET", f"/datasets/{dataset_id}/profile")

    def rows(self, dataset_id: str, *, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a dataset as values by column, fetched page by page as they are taken.

        Integers beyond ±(2^53 - 1), decimals, times and bytes are strings, as the server tells them in JSON.
        """
        return self._rows(f"/datasets/{dataset_id}/rows", columns)

    def result_rows(self, job_id: str, *, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a job's result, as `rows`."""
        return self._rows(f"/jobs/{job_id}/result/rows", columns)

    def rejects(self, dataset_id: str, *, reason: str | None = None) -> Iterator[RejectedRow]:
        """The rows of a dataset that were not loaded, of one reason or all, fetched page by page as they are taken."""
        for page in self._pages(RejectPage, f"/datasets/{dataset_id}/rejects", reason=reason):
            yield from page.items

    def submit(self, kind: str, dataset_id: str, params: Mapping[str, object] | None = None) -> Job:
        body = {"kind": kind, "dataset_id": dataset_id, "params": dict(params or {})}
        return self._ask(Job, "POST", "/jobs", json=body)

    def job(self, job_id: str) -> Job:
        return self._ask(Job, "GET", f"/jobs/{job_id}")

    def jobs(self, *, dataset_id: str, kind: str) -> tuple[Job, ...]:
        """The newest jobs of a kind on a dataset; the kind `ingest` is what reads it in."""
        return self._ask(JobPage, "GET", "/jobs", params={"dataset_id": dataset_id, "kind": kind}).items

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to be stopped; `wait` for what becomes of it."""
        return self._ask(Job, "POST", f"/jobs/{job_id}/cancel")

    def wait(
        self, job_id: str, *, on_change: Callable[[Job], object] | None = None, timeout_s: float | None = None
    ) -> Job:
        """Look at a job, as often as the server asks for, until it is final. `on_change` gets every new look of it.

        Raises:
            TimeoutError: it is not final after `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen: Job | None = None
        while True:
            job, pause_s = self._look(job_id)
            if job is not None and job != seen and on_change is not None:
                on_change(job)
            seen = job or seen
            if job is not None and job.final:
                return job
            if deadline is not None and time.monotonic() + pause_s > deadline:
                raise TimeoutError(f"The job is {seen.status if seen else 'unknown'} after {timeout_s:g} s.")
            time.sleep(pause_s)

    def result(self, job_id: str) -> Result:
        return self._ask(Result, "GET", f"/jobs/{job_id}/result")

    def download(self, file: ResultFile, *, to: Path) -> Path:
        """Stream a file to `to`. It appears there only whole, and only if size and SHA-256 are as promised.

        Raises:
            WrongBytes: they are not.
        """
        digest, size = hashlib.sha256(), 0
        partial = to.with_name(f"{to.name}.partial")
        try:
            with self._store.stream("GET", file.url) as answer, partial.open("wb") as sink:
                _check(answer)
                for chunk in answer.iter_bytes(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    sink.write(chunk)
            if (size, digest.hexdigest()) != (file.size_bytes, file.sha256):
                raise WrongBytes(f"{file.name}: {size} bytes came that are not the {file.size_bytes} promised.")
            return partial.replace(to)
        except httpx.RequestError as error:
            raise Unreachable(f"{file.name} can't be downloaded: {_said(error)}.") from error
        finally:
            partial.unlink(missing_ok=True)

    def _rows(self, path: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        for page in self._pages(RowPage, path, columns=None if columns is None else list(columns)):
            names = [column.name for column in page.columns]
            for row in page.rows:
                yield dict(zip(names, row, strict=True))

    def _pages(self, kind: type[Paged], path: str, **query: Any) -> Iterator[Paged]:
        given = {name: value for name, value in query.items() if value is not None}
        page = self._ask(kind, "GET", path, params={**given, "limit": PAGE_ROWS})
        yield page
        while page.next is not None:
            page = self._ask(kind, "GET", path, params={**given, "limit": PAGE_ROWS, "cursor": page.next})
            yield page

    def _look(self, job_id: str) -> tuple[Job | None, float]:
        """The job, or None where the server asked to be tried again; and the seconds until the next look."""
        try:
            answer = self._send("GET", f"/jobs/{job_id}")
        except ProblemError as error:
            if error.problem.status not in TRY_AGAIN:
                raise
            return None, _pause(error.retry_after_s)
        return _decode(answer, Job), _pause(_retry_after(answer))

    def _ask(self, kind: type[T], method: str, path: str, **request: Any) -> T:
        return _decode(self._send(method, path, **request), kind)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.RequestError as error:
            raise Unreachable(f"{self._http.base_url} does not answer: {_said(error)}.") from error
        _check(answer)
        return answer


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    problem = Problem(status=answer.status_code, title=answer.reason_phrase)
    if "json" in answer.headers.get("Content-Type", ""):
        problem = msgspec.structs.replace(_decode(answer, Problem), status=answer.status_code)
    raise ProblemError(problem, retry_after_s=_retry_after(answer))


def _decode(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise ClientError(f"The answer of {answer.request.url.path} is not what was expected: {error}") from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _pause(asked_s: float | None) -> float:
    return POLL_S if asked_s is None else max(asked_s, LEAST_POLL_S)


def _chunks(content: Path | bytes, on_sent: Callable[[int], object] = lambda sent: None) -> Iterator[bytes]:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            on_sent(source.tell())
