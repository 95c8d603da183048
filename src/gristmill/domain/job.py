"""A job: its states, what may follow what, and the claim that a worker holds on it."""

from enum import StrEnum
from uuid import UUID

import msgspec

from gristmill.domain.dataset import DatasetInput

INGEST_KIND = "ingest"


class JobStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.RUNNING: frozenset({JobStatus.PENDING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELED: frozenset(),
}


class JobEvent(StrEnum):
    """The types of a job's history rows."""

    CREATED = "created"
    RELEASED = "released"
    CLAIMED = "claimed"
    CANCEL_REQUESTED = "cancel_requested"
    RETRYING = "retrying"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Progress(msgspec.Struct, frozen=True):
    """How far an attempt is: `done` of `total` (rows, or bytes while rows are unknown) in a named stage."""

    stage: str
    done: int
    total: int | None = None
    unit: str = "rows"


class ClaimedJob(msgspec.Struct, frozen=True):
    """One claim: the job, its new lease number, and all an executor needs to run it."""

    id: UUID
    owner: str
    kind: str
    params: msgspec.Raw
    attempt: int
    max_attempts: int
    lease: int
    timeout_s: int
    dataset: DatasetInput
