"""What the server answers, typed. Fields that this version does not know are passed over."""

from datetime import datetime
from typing import Any

import msgspec


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

    @property
    def code(self) -> str:
        """The last part of `type`: `not-found`, `rate-limited` …"""
        return self.type.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


class Column(msgspec.Struct, frozen=True):
    name: str
    type: str


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it was when asked for; what is known only when it is `ready` is None before, and in lists."""

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
    dialect: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None
    warnings: tuple[str, ...] | None = None
    labels: dict[str, str] = {}
    created_at: datetime | None = None
    error: Problem | None = None

    @property
    def settled(self) -> bool:
        return self.status in {"ready", "failed"}


class DatasetPage(msgspec.Struct, frozen=True):
    items: tuple[DatasetInfo, ...]
    next: str | None = None


class UploadPart(msgspec.Struct, frozen=True):
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
    parts: tuple[UploadPart, ...]


class Progress(msgspec.Struct, frozen=True):
    """`done` of `total` (None while unknown) rows or bytes in a named stage. `seconds_left` is an estimate, if any."""

    stage: str
    done: int
    total: int | None = None
    unit: str = "rows"
    seconds_left: int | None = None


class ResultSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed job made; `rows_in == rows_out + rows_dropped`."""

    files: int
    size_bytes: int
    rows_in: int
    rows_out: int
    rows_dropped: int


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when asked for."""

    id: str
    kind: str
    dataset_id: str
    status: str
    input_job_id: str | None = None
    reused_from: str | None = None
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}
    attempt: int = 0
    max_attempts: int = 1
    progress: Progress | None = None
    error: Problem | None = None
    result: ResultSummary | None = None
    created_at: datetime
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def final(self) -> bool:
        return self.status in {"completed", "failed", "canceled"}

    @property
    def seconds(self) -> float | None:
        """How long it ran, once it is final."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class JobPage(msgspec.Struct, frozen=True):
    items: tuple[JobInfo, ...]
    next: str | None = None


class PlannedStep(msgspec.Struct, frozen=True):
    op: str
    columns: tuple[str, ...]


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would do; `steps` is None while the columns are not known. With `reuses` it takes that result."""

    kind: str
    params: dict[str, Any]
    steps: tuple[PlannedStep, ...] | None = None
    warnings: tuple[str, ...] = ()
    reuses: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a job at a time. `data` depends on the type: the error of a failed attempt, for one."""

    id: int
    at: datetime
    type: str
    attempt: int
    data: dict[str, Any] = {}


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a result; `url` works without a key, until `url_expires_at`."""

    name: str
    url: str
    media_type: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    url_expires_at: datetime | None = None


class ResultInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A result's files in their order, its balance of rows, and its report."""

    files: tuple[ResultFile, ...]
    report: dict[str, Any]
    rows_in: int = 0
    rows_out: int = 0
    rows_dropped: int = 0

    @property
    def tables(self) -> tuple[ResultFile, ...]:
        return tuple(file for file in self.files if file.rows is not None)

    @property
    def main(self) -> ResultFile:
        """The file that most people want: the first table, else the first file."""
        return (self.tables or self.files)[0]


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


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job: what it does, the JSON Schema of its params, and params that work."""

    kind: str
    version: int
    description: str
    params_schema: dict[str, Any]
    example: dict[str, Any]


class KindList(msgspec.Struct, frozen=True):
    items: tuple[Kind, ...]


class KindDepth(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of a kind that are not final. `blocked` ones wait for a dataset or a job."""

    kind: str
    due: int
    delayed: int
    blocked: int
    running: int
    oldest_wait_s: float | None = None
    paused: bool = False


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits and what runs, of all owners."""

    paused: bool
    kinds: tuple[KindDepth, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker runs; whose it is, is not told."""

    kind: str
    attempt: int
    started_at: datetime


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process: how many jobs it may run at once, how many it runs, and of which kinds, oldest first."""

    id: str
    host: str
    pid: int
    slots: int
    running: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    runs: tuple[Run, ...] = ()


class WorkerList(msgspec.Struct, frozen=True):
    """The workers that were heard of lately."""

    items: tuple[Worker, ...]


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a kind became final in a minute."""

    at: datetime
    kind: str
    completed: int
    failed: int
    canceled: int


class History(msgspec.Struct, frozen=True):
    """What became final lately, by minute and kind."""

    items: tuple[Minute, ...]


class Opened(msgspec.Struct, frozen=True):
    """A stream has begun, or has begun anew: what was told before may have changed meanwhile."""


class Gone(msgspec.Struct, frozen=True):
    """A job that was removed."""

    id: str


JobChange = Opened | JobInfo | Gone
QueueChange = Opened | Queue | WorkerList | History


class WhoAmI(msgspec.Struct, frozen=True, kw_only=True):
    """Whose datasets and jobs this client reaches, and what it may do. Without a `key_id` the server has no keys."""

    owner: str
    scopes: tuple[str, ...]
    key_id: str | None = None


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it was when asked for: `active`, `expired` or `revoked`. One with `replaced_by` was rotated."""

    id: str
    owner: str
    scopes: tuple[str, ...]
    status: str
    created_at: datetime
    name: str = ""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = None


class NewKey(KeyInfo, frozen=True, kw_only=True):
    """A key that was just made; `key` is what to send, and told this once. It is not in the `repr`."""

    key: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, owner={self.owner!r}, key='…')"


class RotatedKey(NewKey, frozen=True, kw_only=True):
    """The key that takes over, and the old one, valid until its `expires_at`."""

    replaces: KeyInfo | None = None

    __repr__ = NewKey.__repr__


class KeyPage(msgspec.Struct, frozen=True):
    items: tuple[KeyInfo, ...]
    next: str | None = None
