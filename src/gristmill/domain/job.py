"""A job: its states, what may follow what, and the claim that a worker holds on it."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

import msgspec

from gristmill.domain.dataset import DatasetInput
from gristmill.domain.source import Sources

INGEST_KIND = "ingest"


class JobStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})

# Out of a final status leads only a user's own wish to try again.
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.RUNNING: frozenset({JobStatus.PENDING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PENDING}),
    JobStatus.CANCELED: frozenset({JobStatus.PENDING}),
}


class JobEvent(StrEnum):
    """The types of a job's history rows."""

    CREATED = "created"
    RELEASED = "released"
    CLAIMED = "claimed"
    CANCEL_REQUESTED = "cancel_requested"
    RETRYING = "retrying"
    SNOOZED = "snoozed"
    INTERRUPTED = "interrupted"
    RESUBMITTED = "resubmitted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Progress(msgspec.Struct, frozen=True):
    """How far an attempt is: `done` of `total` (rows, or bytes while rows are unknown) in a named stage.

    `seconds_left` until the end of the job is an estimate, from its own pace and that of jobs of its kind before it;
    absent where nothing is known yet.
    """

    stage: str
    done: int
    total: int | None = None
    unit: str = "rows"
    seconds_left: int | msgspec.UnsetType = msgspec.UNSET


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One claim: the job and its new lease number. It had been due for `waited_s` seconds, by the database's clock."""

    id: UUID
    owner: str
    kind: str
    params: msgspec.Raw
    attempt: int
    max_attempts: int
    lease: int
    timeout_s: int
    dataset_id: UUID
    input_job_id: UUID | None = None
    sources: Sources = ()
    traceparent: str | None = None
    waited_s: float = 0.0

    def on(self, dataset: DatasetInput, others: Mapping[str, DatasetInput]) -> "ClaimedJob":
        """The claim with the data it is about, and the datasets that its params name, by param."""
        return ClaimedJob(
            self.id,
            self.owner,
            self.kind,
            self.params,
            self.attempt,
            self.max_attempts,
            self.lease,
            self.timeout_s,
            dataset,
            self.sources,
            dict(others),
            self.traceparent,
        )


class ClaimedJob(msgspec.Struct, frozen=True):
    """A claim with all an executor needs to run it."""

    id: UUID
    owner: str
    kind: str
    params: msgspec.Raw
    attempt: int
    max_attempts: int
    lease: int
    timeout_s: int
    dataset: DatasetInput
    sources: Sources = ()
    others: dict[str, DatasetInput] = {}
    traceparent: str | None = None

    @property
    def dataset_id(self) -> UUID:
        return self.dataset.id
