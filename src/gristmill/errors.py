"""Every exception of ours.

    GristmillError
    ├── ConfigurationError          settings are missing or wrong; all of them named at once
    ├── EmbeddedServiceError        PostgreSQL or S3 of this machine could not be started, reached or stopped
    ├── ProcessFailed               a program that we run as a child can't be started, is not ready, or has ended
    ├── InputError                  what the user sent is wrong; can't get better by trying again
    │   ├── InvalidRequest          a field, parameter or column that does not fit
    │   ├── MalformedRequest        a body or header that can't be read at all
    │   ├── MisdirectedRequest      a Host that this server does not answer for
    │   ├── InvalidCursor           a cursor that is not ours, or of another list
    │   ├── UnsupportedMediaType    a body of a type that the route does not take
    │   ├── NotAcceptable           an `Accept` that names no type in which this can be told
    │   ├── UploadStalled           an upload paused for too long, or was too slow
    │   ├── UploadAborted           the connection was closed before the upload was complete
    │   ├── UnknownKind             no processor of that kind
    │   ├── UnsupportedFormat       bytes that are not what they were declared to be, or that we can't read
    │   ├── BadData                 a dataset that can't be made columnar: empty, broken, too many rejected rows
    │   ├── TooLarge                over a limit that has a name
    │   ├── KeyReused               an Idempotency-Key that came with another payload before
    │   ├── DigestMismatch          the bytes that came are not the bytes that were promised
    │   ├── DatasetFailed           the dataset a job waits for could not be made ready
    │   └── InputFailed             a job whose result a job needs has failed, was canceled or is gone
    ├── NotFound                    no such thing, or another owner's
    │   └── NoRows                  a result that is a report alone, and has no table
    ├── Unauthorized                no key, or one that is unknown, expired or revoked
    ├── Forbidden                   a key without the scope
    ├── LimitReached                a key or an owner has used up what it may have
    │   ├── RateLimited             too many requests with one key
    │   ├── TooManyPending          too many jobs of one owner wait
    │   └── StorageFull             the datasets of one owner have too many bytes
    ├── Conflict                    the thing is in a state that does not allow it
    │   ├── KeyInUse                the first request with this Idempotency-Key is not answered yet
    │   ├── ResultNotReady          the job is not final yet
    │   ├── DatasetNotReady         the dataset is not read in yet
    │   └── JobCanceled             the job was canceled: it has no result
    ├── PreconditionFailed          the thing is another by now than `If-Match` says
    ├── Unavailable                 PostgreSQL or S3 did not answer in time; trying again may help
    │   ├── NotReady                something that the API needs is missing
    │   ├── DatabaseUnavailable
    │   └── StoreUnavailable
    └── AttemptError                an attempt at a job ended without an outcome of its own
        ├── ExecutorLost            the executor process died (signal, crash)
        │   ├── OutOfMemory         the system had no memory left and killed it
        │   └── ExecutorCrashed     code that we run broke down on the data (a segmentation fault, an abort)
        ├── MemoryLimit             the job needed more memory than an executor may take; it would again
        ├── Stalled                 the job did not get on for too long
        ├── WorkerLost              the worker's lease ran out
        ├── TimedOut                the job ran longer than its limit
        ├── Snooze                  a processor has to wait for something: the job goes back, no attempt burnt
        └── InternalError           a defect of ours: the log has the trace, the user has its id

A message never quotes a user's data, a SQL text, or an object key.
`code` is stable and public: it is the last part of the problem's `type`.
"""

from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One place in the input that is wrong: a JSON Pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, as it is stored with a job or dataset and sent over the wire."""

    code: str
    title: str
    detail: str
    errors: tuple[Fault, ...] = ()

    @property
    def type(self) -> str:
        """The stable URI of RFC 9457."""
        return f"urn:gristmill:problem:{self.code}"


class GristmillError(Exception):
    """Base of all. `permanent` says that trying again can't help."""

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"
    permanent: ClassVar[bool] = False

    def __init__(self, detail: str, *, errors: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors

    def problem(self) -> Problem:
        return Problem(code=self.code, title=self.title, detail=self.detail, errors=self.errors)


class ConfigurationError(GristmillError):
    code = "configuration"
    title = "The settings are not usable"
    permanent = True


class EmbeddedServiceError(GristmillError):
    code = "embedded-service"
    title = "A service of this machine is not usable"


class ProcessFailed(GristmillError):
    code = "process-failed"
    title = "A program that we run has failed"


class InputError(GristmillError):
    code = "invalid-input"
    title = "The input is not usable"
    permanent = True


class InvalidRequest(InputError):
    code = "invalid-request"
    title = "The request does not fit"


class MalformedRequest(InputError):
    code = "malformed-request"
    title = "The request can't be read"


class MisdirectedRequest(InputError):
    code = "misdirected-request"
    title = "The request is for another server"


class InvalidCursor(InputError):
    code = "invalid-cursor"
    title = "The cursor does not fit"


class UnsupportedMediaType(InputError):
    code = "unsupported-media-type"
    title = "A body of this type is not taken here"


class NotAcceptable(InputError):
    code = "not-acceptable"
    title = "It can't be told in a type that is asked for"


class UploadStalled(InputError):
    code = "upload-stalled"
    title = "The upload paused for too long, or was too slow"


class UploadAborted(InputError):
    code = "upload-aborted"
    title = "The upload was not completed"


class UnknownKind(InputError):
    code = "unknown-kind"
    title = "There is no processor of that kind"


class UnsupportedFormat(InputError):
    code = "unsupported-format"
    title = "The data is not in a format that can be read"


class BadData(InputError):
    code = "bad-data"
    title = "The dataset can't be read"


class TooLarge(InputError):
    code = "too-large"
    title = "Over a limit"


class KeyReused(InputError):
    code = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"


class DigestMismatch(InputError):
    code = "digest-mismatch"
    title = "The bytes received are not the bytes promised"


class DatasetFailed(InputError):
    code = "dataset-failed"
    title = "The dataset could not be made ready"


class InputFailed(InputError):
    code = "input-failed"
    title = "A job or dataset that the job needs has no result or rows"


class NotFound(GristmillError):
    code = "not-found"
    title = "Not found"
    permanent = True


class NoRows(NotFound):
    code = "no-rows"
    title = "The result has no rows"


class Unauthorized(GristmillError):
    code = "unauthorized"
    title = "A valid API key is needed"
    permanent = True


class Forbidden(GristmillError):
    code = "forbidden"
    title = "The API key does not allow this"
    permanent = True


class LimitReached(GristmillError):
    """`retry_after_s`: trying again before makes no sense; None: something has to be removed first."""

    code = "limit-reached"
    title = "A limit is reached"

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class RateLimited(LimitReached):
    code = "rate-limited"
    title = "Too many requests with this API key"


class TooManyPending(LimitReached):
    code = "too-many-pending-jobs"
    title = "Too many jobs wait"


class StorageFull(LimitReached):
    code = "storage-quota"
    title = "The datasets take all the room there is"


class Conflict(GristmillError):
    code = "conflict"
    title = "Not possible in the present state"
    permanent = True


class KeyInUse(Conflict):
    code = "idempotency-key-in-use"
    title = "The first request with this Idempotency-Key is not answered yet"


class ResultNotReady(Conflict):
    code = "result-not-ready"
    title = "The result is not ready"


class DatasetNotReady(Conflict):
    code = "dataset-not-ready"
    title = "The dataset is not ready"


class JobCanceled(Conflict):
    code = "canceled"
    title = "The job was canceled"


class PreconditionFailed(GristmillError):
    code = "precondition-failed"
    title = "It has changed meanwhile"
    permanent = True


class Unavailable(GristmillError):
    code = "unavailable"
    title = "A service we need does not answer"


class NotReady(Unavailable):
    code = "not-ready"
    title = "Not ready to take requests"


class DatabaseUnavailable(Unavailable):
    code = "database-unavailable"
    title = "The database does not answer"


class StoreUnavailable(Unavailable):
    code = "store-unavailable"
    title = "The object store does not answer"


class AttemptError(GristmillError):
    code = "attempt-failed"
    title = "The attempt failed"


class ExecutorLost(AttemptError):
    code = "executor-lost"
    title = "The process that ran the job died"


class OutOfMemory(ExecutorLost):
    code = "out-of-memory"
    title = "The machine ran out of memory"


class ExecutorCrashed(ExecutorLost):
    code = "executor-crashed"
    title = "The process that ran the job crashed"


class MemoryLimit(AttemptError):
    code = "memory-limit"
    title = "The job needs more memory than it may take"
    permanent = True


class Stalled(AttemptError):
    code = "stalled"
    title = "The job did not get on"


class WorkerLost(AttemptError):
    code = "worker-lost"
    title = "The worker that ran the job is gone"


class TimedOut(AttemptError):
    code = "timed-out"
    title = "The job ran longer than its limit"


class Snooze(AttemptError):
    """Raised by a processor: try again in `delay_s` seconds, without counting this as an attempt."""

    code = "snoozed"
    title = "The job waits for something"

    def __init__(self, detail: str, *, delay_s: float) -> None:
        super().__init__(detail)
        self.delay_s = max(1.0, delay_s)


class InternalError(AttemptError):
    code = "internal-error"
    title = "Something went wrong on our side"
