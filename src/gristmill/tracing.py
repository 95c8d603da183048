"""Traces: the W3C trace context of requests and jobs, and spans where OpenTelemetry is asked for.

A request's `traceparent` is accepted, carried on the rows of the jobs it makes, and its trace id is in the log lines
of both, with or without OpenTelemetry. Spans are made where OTEL_EXPORTER_OTLP_ENDPOINT is set (extra `otel`):

    request (API) ─▶ enqueue ─▶ job (worker): claim wait, run, commit
                                              run ─▶ read, plan, fit, write (executor)

An executor knows nothing of OpenTelemetry: it notes when its steps began and ended, and the supervisor makes spans of
them (`steps.py`). Without an endpoint nothing of it is imported.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

import structlog

from gristmill.errors import ConfigurationError
from gristmill.steps import Recorder, recorded

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# https://www.w3.org/TR/trace-context/ 3.2; what a later version adds comes after the flags and is left out.
HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")

SpanKind = Literal["server", "consumer", "internal"]


class Span(Protocol):
    """Something that takes time. Its `traceparent` makes it the parent of another one, here or elsewhere."""

    @property
    def traceparent(self) -> str: ...

    def end(
        self,
        *,
        name: str | None = None,
        at_ns: int | None = None,
        error: str | None = None,
        attributes: Mapping[str, str | int] | None = None,
    ) -> None:
        """It is over, now or at that time (ns since 1970). `error` is a code, never a message."""
        ...


class Tracer(Protocol):
    """Makes spans and sends them away in the background."""

    def start(
        self, name: str, *, parent: str | None, kind: SpanKind = "internal", at_ns: int | None = None
    ) -> Span: ...

    def close(self) -> None:
        """Send what is left; blocks for some seconds at most."""
        ...


_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def accepted(header: str | None) -> str | None:
    """A `traceparent` as we pass it on (version 00); None: there is none, or it is not one."""
    found = None if header is None else HEADER.fullmatch(header.strip())
    if found is None or (header is not None and header.startswith("00") and len(header.strip()) != 55):
        return None
    trace, span, flags = found.groups()
    return f"00-{trace}-{span}-{flags}"


def current() -> str | None:
    """The context that a job made now is to carry."""
    return _traceparent.get()


def trace_fields(traceparent: str | None) -> dict[str, str]:
    """The field of a log line that names the trace; nothing where there is none."""
    return {} if traceparent is None else {"trace_id": traceparent[3:35]}


@contextmanager
def within(traceparent: str, recorder: Recorder | None = None) -> Iterator[None]:
    """What happens in here belongs to that span: jobs carry it, log lines name its trace, steps go to `recorder`."""
    token = _traceparent.set(traceparent)
    try:
        with recorded(recorder), structlog.contextvars.bound_contextvars(**trace_fields(traceparent)):
            yield
    finally:
        _traceparent.reset(token)


class Spans:
    """Makes spans of steps as they happen, under the current one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        span = self._tracer.start(name, parent=current())
        error: str | None = None
        try:
            with within(span.traceparent, self):
                yield
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            span.end(error=error)


def open_tracer(service: str) -> Tracer | None:
    """The tracer of this process; None: nobody asked for traces. `service` is its name unless OTEL_SERVICE_NAME is set.

    Raises:
        ConfigurationError: an endpoint is set, and the libraries are not there.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        # Only who traces pays for it: 15 MB and 0.2 s.
        from gristmill.otel import OtlpTracer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"Traces need {error.name}: `pip install 'gristmill[otel]'`") from error
    return OtlpTracer(os.environ.get("OTEL_SERVICE_NAME") or service)
