"""Schedules: jobs that are submitted again and again."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, PathParameter
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.document import JsonObject, Moment
from gristmill.api.idempotency import IdempotencyKey, first_answer, request_key
from gristmill.api.paging import Cursor, Limit, Paging
from gristmill.api.problems import ProblemDetails, documented, job_details
from gristmill.api.submissions import JobRequest
from gristmill.api.submit import HeldProcessors, checked_job
from gristmill.db import schedules
from gristmill.db.engine import Database
from gristmill.db.idempotency import creating
from gristmill.db.rows import NewJob
from gristmill.db.schedules import ScheduleRow
from gristmill.domain.schedule import MissedPolicy, check, times_after
from gristmill.errors import Fault, InvalidRequest, NotFound
from gristmill.objects import ObjectStore
from gristmill.settings import Settings

UPCOMING = 5

ScheduleId = Annotated[
    UUID, PathParameter(description="The schedule's id.", examples=[Example(value=str(examples.SCHEDULE_ID))])
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Cron = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Minute, hour, day of month, month, day of week.",
        extra_json_schema={"pattern": r"^\S+( +\S+){4}$"},
    ),
]
TimeZone = Annotated[str, Meta(max_length=100, description="A name of the IANA database.")]
Missed = Annotated[
    MissedPolicy,
    Meta(description="Times at which no worker was there: skip them, one job for all (once), or one each (all)."),
]
EXAMPLE = {"name": "nightly", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "job": examples.JOB}


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to make. `job` is what `POST /jobs` takes; it works on a dataset and has no time of its own."""

    name: Name
    cron: Cron
    time_zone: TimeZone = "UTC"
    missed: Missed = MissedPolicy.ONCE
    paused: bool = False
    job: JobRequest


class ScheduleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another in a schedule."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    cron: Cron | msgspec.UnsetType = msgspec.UNSET
    time_zone: TimeZone | msgspec.UnsetType = msgspec.UNSET
    missed: Missed | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. `upcoming` are its next times; `error` says why its last time made no job."""

    id: UUID
    name: str
    cron: str
    time_zone: str
    missed: MissedPolicy
    paused: bool
    kind: str
    dataset_id: UUID
    params: JsonObject
    labels: dict[str, str]
    priority: int
    limit_key: str
    max_attempts: int
    timeout_s: int
    webhook: UUID | None
    upcoming: tuple[Moment, ...]
    last_at: Moment | None
    last_job_id: UUID | None
    error: ProblemDetails | None
    created_at: Moment
    updated_at: Moment


class SchedulePage(msgspec.Struct, frozen=True):
    """Schedules, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[Schedule, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@post(
    status_code=201,
    operation_id="createSchedule",
    summary="Make a schedule",
    responses=documented(400, 404, 409, 413, 415, 422),
    response_description="Made. `Location` is the schedule.",
)
async def create_schedule(
    data: Annotated[
        ScheduleRequest,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=EXAMPLE, summary="Every night")]),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    processors: NamedDependency[HeldProcessors],
    owner: NamedDependency[str],
    idempotency_key: IdempotencyKey = None,
) -> Response[Schedule]:
    """The job is checked as `POST /jobs` would. Each time is fired once, by whichever worker is there first."""
    key = await request_key(request, idempotency_key, settings, owner=owner)
    if (first := await first_answer(database, key, Schedule)) is not None:
        return first
    check(data.cron, data.time_zone)
    if data.job.scheduled_at is not None or (data.job.input is not None and data.job.input.job_id is not None):
        pointer = "/job/input" if data.job.scheduled_at is None else "/job/scheduled_at"
        fault = Fault(pointer, "A schedule says when, and works on a dataset.")
        raise InvalidRequest("The job does not fit a schedule.", errors=(fault,))
    job = await checked_job(database, store, settings, processors, owner=owner, request=data.job, under="/job")
    if job.sources:
        faults = [Fault(f"/job/params/{source.param}", "It may be gone when the job is due.") for source in job.sources]
        raise InvalidRequest("A schedule can't name another job or dataset.", errors=tuple(faults))
    now = await schedules.database_time(database)
    values = _values(data, job, owner=owner, now=now)
    if key is None:
        row = await schedules.create_schedule(database, values)
    else:
        async with creating(database, key) as creation:
            row = await schedules.insert_schedule(creation.session, values)
            body = msgspec.json.encode(_schedule(row))
            await creation.answered(status=201, location=f"/schedules/{row.id}", body=body)
    return Response(_schedule(row), headers={"Location": f"/schedules/{row.id}"})


def _values(data: ScheduleRequest, job: NewJob, *, owner: str, now: datetime) -> dict[str, Any]:
    """The columns of a new schedule."""
    return {
        "owner": owner,
        "name": data.name,
        "cron": data.cron,
        "time_zone": data.time_zone,
        "missed": data.missed,
        "paused": data.paused,
        "dataset_id": job.dataset_id,
        "kind": job.kind,
        "kind_version": job.kind_version,
        "params": job.params.decode(),
        "labels": job.labels.decode(),
        "priority": job.priority,
        "limit_key": job.limit_key,
        "max_attempts": job.max_attempts,
        "timeout_s": job.timeout_s,
        "webhook_id": job.webhook_id,
        "next_at": times_after(data.cron, data.time_zone, now, 1)[0],
    }


@get(
    operation_id="listSchedules",
    summary="List schedules",
    responses=documented(400, 422),
    response_description="A page of schedules, newest first.",
)
async def list_all_schedules(
    database: NamedDependency[Database], owner: NamedDependency[str], limit: Limit = 50, cursor: Cursor = None
) -> Response[SchedulePage]:
    paging = Paging(of="schedules", path="/schedules", owner=owner, limit=limit, cursor=cursor)
    rows = await schedules.list_schedules(database, owner=owner, limit=paging.rows, before=paging.before)
    return paging.answer(rows, _schedule, SchedulePage)


@get(
    "/{schedule_id:uuid}",
    operation_id="getSchedule",
    summary="Look at a schedule",
    responses=documented(404),
    response_description="The schedule, with its next times.",
)
async def look_at_schedule(
    schedule_id: ScheduleId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> Schedule:
    return _schedule(_found(await schedules.get_schedule(database, schedule_id, owner=owner)))


@patch(
    "/{schedule_id:uuid}",
    operation_id="changeSchedule",
    summary="Change a schedule",
    responses=documented(400, 404, 413, 415, 422),
    response_description="The schedule as it is now.",
)
async def change_schedule(
    schedule_id: ScheduleId,
    data: Annotated[
        ScheduleChange,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value={"paused": True}, summary="Pause it")]),
    ],
    database: NamedDependency[Database],
    owner: NamedDependency[str],
) -> Schedule:
    """With another time, or after a pause, it goes on from now: what lay between is not made up for."""
    row = _found(await schedules.get_schedule(database, schedule_id, owner=owner))
    values: dict[str, Any] = {
        name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not msgspec.UNSET
    }
    cron, zone = values.get("cron", row.cron), values.get("time_zone", row.time_zone)
    check(cron, zone)
    if (cron, zone) != (row.cron, row.time_zone) or (row.paused and not values.get("paused", True)):
        values["next_at"] = times_after(cron, zone, await schedules.database_time(database), 1)[0]
    if not values:
        return _schedule(row)
    return _schedule(_found(await schedules.change_schedule(database, schedule_id, values, owner=owner)))


@delete(
    "/{schedule_id:uuid}",
    operation_id="deleteSchedule",
    summary="Delete a schedule",
    responses=documented(404),
    response_description="It fires no more. Its jobs stay.",
)
async def delete_schedule(
    schedule_id: ScheduleId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> None:
    if not await schedules.drop_schedule(database, schedule_id, owner=owner):
        raise NotFound("There is no such schedule.")


def _found(row: ScheduleRow | None) -> ScheduleRow:
    if row is None:
        raise NotFound("There is no such schedule.")
    return row


def _schedule(row: ScheduleRow) -> Schedule:
    own = {"upcoming", "error", "webhook"}
    plain: dict[str, Any] = {name: getattr(row, name) for name in Schedule.__struct_fields__ if name not in own}
    later = times_after(row.cron, row.time_zone, row.next_at, UPCOMING - 1)
    return Schedule(
        **plain,
        webhook=row.webhook_id,
        upcoming=() if row.paused else (row.next_at, *later),
        error=None if row.last_error is None else job_details(row.last_error, instance=f"/schedules/{row.id}"),
    )


def routes() -> Router:
    return Router(
        "/schedules",
        route_handlers=[create_schedule, list_all_schedules, look_at_schedule, change_schedule, delete_schedule],
        tags=["Schedules"],
    )
