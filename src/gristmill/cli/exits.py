"""What the exit code says.

| code | |
|---|---|
| 0 | done; with `--wait`, `watch` and `run-local`: the job is completed |
| 1 | the job has failed, or something else went wrong; the message says what |
| 2 | the command line does not fit |
| 3 | the server, the store that files go through, or the database does not answer |
| 4 | refused: not with this key, no such thing, or what was sent does not fit |
| 5 | the job was canceled |
| 6 | `--timeout` has passed; the job goes on |
| 130 | interrupted (Ctrl-C); a job that `submit` waited for is canceled, or, after a second Ctrl-C, about to be |
"""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gristmill.client import ClientError


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    CANCELED = 5
    TIMED_OUT = 6
    INTERRUPTED = 130


def exit_of_status(status: str) -> Exit:
    """The code for a job's final status."""
    return {"completed": Exit.OK, "canceled": Exit.CANCELED}.get(status, Exit.FAILED)


def exit_of_error(error: "ClientError") -> Exit:
    """The code for what the client raises."""
    from gristmill.client import ProblemError, Unreachable, WaitTimedOut
    from gristmill.client.errors import AttemptFailed, JobCanceled, NeedsPolars, Unavailable

    match error:
        case Unreachable() | Unavailable():
            return Exit.UNREACHABLE
        case WaitTimedOut():
            return Exit.TIMED_OUT
        case JobCanceled():
            return Exit.CANCELED
        case NeedsPolars():
            return Exit.USAGE
        case ProblemError() if not isinstance(error, AttemptFailed):
            return Exit.REFUSED
        case _:
            return Exit.FAILED
