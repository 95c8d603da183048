"""What a request for a job looks like, and what is told of one that would be made."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from gristmill.api.document import JsonObject
from gristmill.processors.contract import PlannedStep

MAX_TIMEOUT_S = 7 * 24 * 3600

Label = Annotated[str, Meta(min_length=1, max_length=64)]
LabelValue = Annotated[str, Meta(max_length=256)]


def _no_params() -> JsonObject:
    return msgspec.Raw(b"{}")


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a job works on: a dataset, or the rows that another job makes. It waits for what is not there yet."""

    dataset_id: UUID | None = None
    job_id: UUID | None = None


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit. Its data is given as `dataset_id` or as `input`."""

    kind: Annotated[str, Meta(min_length=1, max_length=64, description="One of `GET /processors`.")]
    dataset_id: UUID | None = None
    input: JobInput | None = None
    params: Annotated[JsonObject, Meta(description="By the kind: see `GET /processors/{kind}`.")] = msgspec.field(
        default_factory=_no_params
    )
    priority: Annotated[int, Meta(ge=-100, le=100, description="Higher goes first.")] = 0
    scheduled_at: Annotated[datetime, Meta(tz=True, description="Not before this time.")] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Default: a setting of the server.")] | None = None
    timeout_s: (
        Annotated[int, Meta(ge=1, le=MAX_TIMEOUT_S, description="Seconds an attempt may run; default: a setting.")]
        | None
    ) = None
    labels: Annotated[dict[Label, LabelValue], Meta(max_length=32)] = msgspec.field(default_factory=dict)
    limit_key: Annotated[str, Meta(max_length=200, description="A name that a limit can be set for.")] = ""
    webhook: (
        Annotated[UUID, Meta(description="A webhook of `POST /webhooks`: it is told when the job is final.")] | None
    ) = None
    reuse: Annotated[
        Literal["any", "none"],
        Meta(description="any: an identical job's result is taken, or waited for; none: the work is done again."),
    ] = "any"


class JobBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs to submit together."""

    jobs: Annotated[tuple[JobRequest, ...], Meta(min_length=1, max_length=1000)]


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would do: the params with their defaults, and the `steps` with their columns. The steps are null while
    these are not known: the dataset is `validating`, or the job whose result is the data is not final.

    With `reuses` the job would take the result of this identical one, or wait for it.
    """

    kind: str
    kind_version: int
    dataset_id: UUID
    input_job_id: UUID | None
    params: JsonObject
    max_attempts: int
    timeout_s: int
    steps: tuple[PlannedStep, ...] | None
    warnings: tuple[str, ...]
    reuses: UUID | None
