"""Every exception of the client. A problem of the server is raised as the class of its code.

ClientError
├── Unreachable                 the server, or the store that files are sent to and come from, does not answer
├── UnexpectedAnswer            an answer that is not of the form it should have
├── WrongBytes                  the bytes that came are not the bytes that were promised
├── WaitTimedOut                a job or dataset is not final after the time given (a TimeoutError too)
├── NeedsPolars                 Polars is not installed
└── ProblemError                the server refused: `type`, `code`, `status`, `detail`, `errors` with pointers
    ├── Rejected                what was sent does not fit
    │   ├── InvalidRequest      a field, parameter or column; `errors` points at each
    │   ├── MalformedRequest    a body or header that can't be read
    │   ├── InvalidCursor
    │   ├── MisdirectedRequest  the server does not answer for this host
    │   ├── UnknownKind         there is no processor of that kind
    │   ├── UnsupportedFormat   data that can't be read, or is not what it is said to be
    │   ├── NotAcceptable
    │   ├── BadData             a dataset that can't be made columnar
    │   ├── TooLarge            over a limit that has a name
    │   ├── DigestMismatch      the bytes that arrived are not those that were sent
    │   ├── UploadInterrupted   an upload stalled, or its connection was closed
    │   └── KeyReused           an Idempotency-Key that came with another payload before
    ├── NotFound                no such thing, or another owner's
    │   └── NoRows              a result that is a report alone
    ├── Unauthorized            no key, or one that is unknown, expired or revoked
    ├── Forbidden               a key without the scope
    ├── LimitReached
    │   ├── RateLimited         too many requests with one key
    │   ├── TooManyPending      too many jobs wait
    │   └── StorageFull         the datasets take all the room there is
    ├── Conflict                not possible in the present state
    │   ├── KeyInUse            the first request with this Idempotency-Key is not answered yet
    │   ├── ResultNotReady      the job is not final yet
    │   ├── DatasetNotReady     the dataset is not read in yet
    │   ├── DatasetFailed       the dataset could not be made ready
    │   ├── InputFailed         what the job needs has failed or is gone
    │   └── JobCanceled         the job was canceled: it has no result
    ├── PreconditionFailed      it is another by now than `If-Match` says
    ├── Unavailable             the server, its database or its store is not there now; later it may be
    └── AttemptFailed           a job failed while it ran, by no fault of its params
        ├── MemoryLimit         it needs more memory than a job may take
        ├── TimedOut            it ran longer than its limit
        ├── Stalled             it did not get on
        ├── ExecutorCrashed     the data broke down what read it
        └── ServerFault         a defect, or a process that died
"""

from typing import ClassVar

from gristmill.client.documents import Fault, Problem

BY_CODE: "dict[str, type[ProblemError]]" = {}


class ClientError(Exception):
    """Base of what the client raises."""


class Unreachable(ClientError):
    pass


class UnexpectedAnswer(ClientError):
    pass


class WrongBytes(ClientError):
    pass


class WaitTimedOut(ClientError, TimeoutError):
    pass


class NeedsPolars(ClientError):
    def __init__(self) -> None:
        super().__init__("Polars is not installed: pip install 'gristmill[polars]'")


class ProblemError(ClientError):
    """The server refused; `problem` is the whole document. `retry_after_s` is set where it asked to be tried again.

    `codes` are those of a class; what has a code that this version does not know is raised by its status.
    """

    codes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, codes: tuple[str, ...]) -> None:
        super().__init_subclass__()
        cls.codes = codes
        BY_CODE.update(dict.fromkeys(codes, cls))

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after_s = retry_after_s

    @property
    def type(self) -> str:
        return self.problem.type

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def status(self) -> int | None:
        return self.problem.status

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def errors(self) -> tuple[Fault, ...]:
        return self.problem.errors


class Rejected(ProblemError, codes=("invalid-input", "method-not-allowed")):
    pass


class InvalidRequest(Rejected, codes=("invalid-request",)):
    pass


class MalformedRequest(Rejected, codes=("malformed-request",)):
    pass


class InvalidCursor(Rejected, codes=("invalid-cursor",)):
    pass


class MisdirectedRequest(Rejected, codes=("misdirected-request",)):
    pass


class UnknownKind(Rejected, codes=("unknown-kind",)):
    pass


class UnsupportedFormat(Rejected, codes=("unsupported-format", "unsupported-media-type")):
    pass


class NotAcceptable(Rejected, codes=("not-acceptable",)):
    pass


class BadData(Rejected, codes=("bad-data",)):
    pass


class TooLarge(Rejected, codes=("too-large",)):
    pass


class DigestMismatch(Rejected, codes=("digest-mismatch",)):
    pass


class UploadInterrupted(Rejected, codes=("upload-stalled", "upload-aborted")):
    pass


class KeyReused(Rejected, codes=("idempotency-key-reused",)):
    pass


class NotFound(ProblemError, codes=("not-found",)):
    pass


class NoRows(NotFound, codes=("no-rows",)):
    pass


class Unauthorized(ProblemError, codes=("unauthorized",)):
    pass


class Forbidden(ProblemError, codes=("forbidden",)):
    pass


class LimitReached(ProblemError, codes=("limit-reached",)):
    pass


class RateLimited(LimitReached, codes=("rate-limited",)):
    pass


class TooManyPending(LimitReached, codes=("too-many-pending-jobs",)):
    pass


class StorageFull(LimitReached, codes=("storage-quota",)):
    pass


class Conflict(ProblemError, codes=("conflict",)):
    pass


class KeyInUse(Conflict, codes=("idempotency-key-in-use",)):
    pass


class ResultNotReady(Conflict, codes=("result-not-ready",)):
    pass


class DatasetNotReady(Conflict, codes=("dataset-not-ready",)):
    pass


class DatasetFailed(Conflict, codes=("dataset-failed",)):
    pass


class InputFailed(Conflict, codes=("input-failed",)):
    pass


class JobCanceled(Conflict, codes=("canceled",)):
    pass


class PreconditionFailed(ProblemError, codes=("precondition-failed",)):
    pass


class Unavailable(ProblemError, codes=("unavailable", "not-ready", "database-unavailable", "store-unavailable")):
    pass


class AttemptFailed(ProblemError, codes=("attempt-failed", "snoozed")):
    pass


class MemoryLimit(AttemptFailed, codes=("memory-limit",)):
    pass


class TimedOut(AttemptFailed, codes=("timed-out",)):
    pass


class Stalled(AttemptFailed, codes=("stalled",)):
    pass


class ExecutorCrashed(AttemptFailed, codes=("executor-crashed",)):
    pass


class ServerFault(
    AttemptFailed,
    codes=(
        "internal-error",
        "executor-lost",
        "worker-lost",
        "out-of-memory",
        "configuration",
        "embedded-service",
        "process-failed",
    ),
):
    pass


BY_STATUS: dict[int, type[ProblemError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    429: LimitReached,
    500: ServerFault,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_error(problem: Problem, *, retry_after_s: float | None = None) -> ProblemError:
    """A problem as the exception of its code; of its status, where the code is none that is known here."""
    known = BY_CODE.get(problem.code)
    if known is None and problem.status is not None:
        known = BY_STATUS.get(problem.status) or (Rejected if 400 <= problem.status < 500 else None)
    return (known or ProblemError)(problem, retry_after_s=retry_after_s)
