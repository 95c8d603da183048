"""Errors as RFC 9457 problems: one table from code to HTTP status, and one way to answer with them."""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from gristmill.api.answers import Response
from gristmill.api.headers import request_id
from gristmill.errors import (
    Fault,
    GristmillError,
    InternalError,
    InvalidRequest,
    LimitReached,
    MalformedRequest,
    NotFound,
    NotReady,
    Problem,
    TooLarge,
    UnsupportedMediaType,
)
from gristmill.telemetry import frames, get_logger

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS = {
    "malformed-request": 400,
    "invalid-cursor": 400,
    "upload-aborted": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "no-rows": 404,
    "method-not-allowed": 405,
    "not-acceptable": 406,
    "upload-stalled": 408,
    "conflict": 409,
    "idempotency-key-in-use": 409,
    "result-not-ready": 409,
    "dataset-not-ready": 409,
    "canceled": 409,
    "dataset-failed": 409,
    "input-failed": 409,
    "precondition-failed": 412,
    "too-large": 413,
    "storage-quota": 413,
    "unsupported-media-type": 415,
    "unsupported-format": 415,
    "misdirected-request": 421,
    "invalid-input": 422,
    "invalid-request": 422,
    "unknown-kind": 422,
    "idempotency-key-reused": 422,
    "bad-data": 422,
    "digest-mismatch": 422,
    "limit-reached": 429,
    "rate-limited": 429,
    "too-many-pending-jobs": 429,
    "internal-error": 500,
    "configuration": 500,
    "embedded-service": 500,
    "process-failed": 500,
    "attempt-failed": 500,
    "executor-lost": 500,
    "executor-crashed": 500,
    "worker-lost": 500,
    "out-of-memory": 500,
    "memory-limit": 422,
    "stalled": 500,
    "timed-out": 500,
    "snoozed": 500,
    "unavailable": 503,
    "not-ready": 503,
    "database-unavailable": 503,
    "store-unavailable": 503,
}

SCHEMA_STATES = frozenset({"42P01", "42703", "42883"})

RETRY_AFTER = {
    "idempotency-key-in-use": "1",
    "result-not-ready": "1",
    "dataset-not-ready": "1",
    "unavailable": "2",
    "database-unavailable": "2",
    "store-unavailable": "2",
}

DESCRIPTIONS = {
    400: "The request can't be read, or the cursor does not fit.",
    401: "An API key is needed, and there is none, or it is unknown, expired or revoked.",
    403: "The API key lacks the scope.",
    404: "There is no such thing, or it is another owner's.",
    406: "`Accept` names no type in which this can be told.",
    408: "The upload paused for too long, or was too slow; nothing of it is kept.",
    409: "Not possible in the present state.",
    412: "It is another by now than `If-Match` says; look at it again.",
    413: "Over a limit that is named in `detail`.",
    415: "The body, or the data in it, is of a type that is not taken.",
    421: "The `Host` is not one that is answered here.",
    422: "The request does not fit; `errors` points at each place.",
    429: "Too many requests with this key, or too many jobs wait; try again after `Retry-After` seconds.",
    500: "A defect on our side; the log knows the request by its `X-Request-Id`.",
    503: "The database or the object store does not answer; try again after `Retry-After` seconds.",
}


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457). `type` is stable; `errors` points at what is wrong in the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[Fault, ...] = ()


def details(problem: Problem, *, instance: str | None = None) -> ProblemDetails:
    return ProblemDetails(
        type=problem.type,
        title=problem.title,
        status=STATUS.get(problem.code, 500),
        detail=problem.detail,
        instance=instance,
        errors=problem.errors,
    )


def job_details(problem: Problem, *, instance: str) -> ProblemDetails:
    """The problem a job ended with. It is no failure of whoever asks for it later: 409 instead of a 5xx."""
    told = details(problem, instance=instance)
    return told if told.status < 500 else msgspec.structs.replace(told, status=409)


def answer(told: ProblemDetails, *, headers: dict[str, str] | None = None) -> Response[ProblemDetails]:
    return Response(told, status_code=told.status, media_type=MEDIA_TYPE, headers=headers)


def documented(*statuses: int, public: bool = False) -> dict[int, ResponseSpec]:
    """The problem answers of an operation, for the OpenAPI document, with those that every operation has.

    `public`: no key is asked for.
    """
    always = {400, 421, 500, 503} if public else {400, 401, 403, 421, 429, 500, 503}
    return {
        status: ResponseSpec(
            data_container=ProblemDetails,
            media_type=MEDIA_TYPE,
            generate_examples=False,
            description=DESCRIPTIONS[status],
        )
        for status in sorted({*statuses, *always})
    }


def on_our_error(request: Request[Any, Any, Any], error: GristmillError) -> Response[ProblemDetails]:
    problem = error.problem()
    told = details(problem, instance=request.scope["path"])
    if told.status == 500:
        return on_defect(request, error)
    headers = {"Retry-After": RETRY_AFTER[problem.code]} if problem.code in RETRY_AFTER else {}
    if isinstance(error, LimitReached) and error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if told.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return answer(told, headers=headers)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[ProblemDetails]:
    """The framework's own refusals: routing, methods, body limits, parameters."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow", "")
        problem = Problem("method-not-allowed", "The method is not allowed here", f"Allowed here: {allowed}.")
        return answer(details(problem, instance=request.scope["path"]), headers={"Allow": allowed})
    ours = _in_ours(error)
    return on_defect(request, error) if ours is None else on_our_error(request, ours)


def on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDetails]:
    """A defect of ours: the log has the trace, the user has the id to ask by."""
    if _lacks_schema(error):
        return on_our_error(request, NotReady("The database has not the schema of this version: gristmill migrate."))
    known = request_id(request.scope)
    log.error(
        "api.request_failed",
        request_id=known,
        method=request.scope["method"],
        route=request.scope.get("path_template", ""),
        error=type(error).__name__,
        frames=frames(error),
    )
    problem = InternalError(f"The request could not be answered; it is in the log as {known}.").problem()
    return answer(details(problem, instance=request.scope["path"]))


def _lacks_schema(error: Exception) -> bool:
    """Whether a statement named a table, column or function that is not there, by its SQLSTATE."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", None) in SCHEMA_STATES


def _in_ours(error: HTTPException) -> GristmillError | None:
    if isinstance(error, ValidationException):
        return _of_validation(error.extra if isinstance(error.extra, list) else [])
    match error.status_code:
        case 404:
            return NotFound("There is nothing at this path.")
        case 413:
            return TooLarge("The body is larger than the limit for JSON bodies.")
        case 415:
            return UnsupportedMediaType("A body of this type is not taken here.")
        case status if status < 500:
            return MalformedRequest("The request can't be read.")
    return None


def _of_validation(messages: list[Any]) -> GristmillError:
    """The framework's list of messages; a parameter is pointed at as `/query/limit`."""
    told = [item for item in messages if isinstance(item, dict) and "message" in item]
    if any(item.get("key") == "data" for item in told):
        return MalformedRequest("A JSON body is needed, and there is none.")
    faults = tuple(
        Fault(f"/{getattr(item.get('source'), 'value', 'query')}/{item.get('key', '')}", f"{item['message']}.")
        for item in told
    )
    return InvalidRequest("A parameter does not fit.", errors=faults)
