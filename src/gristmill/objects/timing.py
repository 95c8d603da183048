"""How long calls of S3 take, told by the client's own events, so that no caller has to think of it."""

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gristmill import metrics

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# The client's events carry a context of the call from the first to the last.
BEGAN = "gristmill_began"
# The call that is under way in this task: one that is cut by its deadline gets no event.
_under_way: ContextVar[tuple[str, float] | None] = ContextVar("under_way", default=None)


def watch(s3: "S3Client") -> None:
    """Have every call of this client counted."""
    s3.meta.events.register("before-call.s3", _begin)
    s3.meta.events.register("after-call.s3", _end)
    s3.meta.events.register("after-call-error.s3", _fail)


def note_time_out() -> None:
    """The call that is under way in this task, if there is one, was given up."""
    call = _under_way.get()
    if call is not None:
        operation, began = call
        _note(operation, began, "timed_out")


def _begin(*, model: Any, context: dict[str, Any], **_: Any) -> None:
    context[BEGAN] = began = time.perf_counter()
    _under_way.set((model.name, began))


def _end(*, http_response: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
    # That something is not there is an answer.
    refused = http_response.status_code >= 400 and http_response.status_code != 404
    _note(model.name, context[BEGAN], "failed" if refused else "ok")


def _fail(*, event_name: str, context: dict[str, Any], **_: Any) -> None:
    _note(event_name.rpartition(".")[2], context[BEGAN], "failed")


def _note(operation: str, began: float, outcome: str) -> None:
    _under_way.set(None)
    metrics.S3_SECONDS.observe(time.perf_counter() - began, operation, outcome)
