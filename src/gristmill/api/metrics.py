"""What Prometheus scrapes, and how requests are counted and traced."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from prometheus_client import Counter
from prometheus_client.exposition import choose_encoder

from gristmill import __version__, metrics, tracing
from gristmill.api.access import operation
from gristmill.api.answers import Response
from gristmill.api.headers import complete, sent
from gristmill.api.problems import documented
from gristmill.db.engine import Database
from gristmill.db.queue import KindDepth, count_slots, queue_depth
from gristmill.errors import Unavailable

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

KEPT_S = 5.0
# A look counts the jobs that are not final: the more there are, the longer it is kept, so that looking takes one
# connection a twentieth of the time at most.
SHARE = 20
UNROUTED = "none"
ABORTED = "aborted"
UNTRACED = ("/health/", "/metrics", "/assets/", "/console/")
MEDIA_TYPES = ("text/plain", "application/openmetrics-text")
SAMPLE = """# HELP gristmill_workers Workers that were heard of lately.
# TYPE gristmill_workers gauge
gristmill_workers{version="0.1.0"} 2.0
"""
STATES = ("due", "delayed", "blocked", "running")


class QueueFigures:
    """The queue's gauges, looked up once for all who scrape this process within some seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = asyncio.Lock()
        self._good_until = 0.0

    async def refresh(self) -> None:
        """Look, if the last look is too old. While PostgreSQL is away there are no gauges of the queue."""
        async with self._looking:
            began = time.monotonic()
            if began < self._good_until:
                return
            try:
                depths = await queue_depth(self._database)
                workers = await count_slots(self._database)
            except Unavailable:
                self._forget()
            else:
                self._forget()
                self._tell(depths, workers)
            ended = time.monotonic()
            self._good_until = ended + max(KEPT_S, SHARE * (ended - began))

    def _tell(self, depths: list[KindDepth], workers: Mapping[str, tuple[int, int]]) -> None:
        for version, (number, slots) in ({__version__: (0, 0)} | dict(workers)).items():
            metrics.WORKERS.labels(version).set(number)
            metrics.WORKER_SLOTS.labels(version).set(slots)
        for depth in depths:
            kind = metrics.KINDS.label(depth.kind)
            for state in STATES:
                metrics.QUEUE_JOBS.labels(kind, state).inc(getattr(depth, state))
            if depth.oldest_wait_s is not None:
                metrics.QUEUE_OLDEST.labels(kind).set(depth.oldest_wait_s)

    def _forget(self) -> None:
        for gauge in (metrics.QUEUE_JOBS, metrics.QUEUE_OLDEST, metrics.WORKERS, metrics.WORKER_SLOTS):
            gauge.clear()


@dataclass
class MetricsOperation(Operation):
    """The framework knows of one media type of an answer; this operation has two, and neither is JSON."""

    def __post_init__(self) -> None:
        answered = (self.responses or {}).get("200")
        if isinstance(answered, OpenAPIResponse):
            told = OpenAPIMediaType(
                schema=Schema(type=OpenAPIType.STRING), examples={"gauge": Example(summary="A gauge", value=SAMPLE)}
            )
            answered.content = dict.fromkeys(MEDIA_TYPES, told)


@get(
    "/metrics",
    operation_id="getMetrics",
    operation_class=MetricsOperation,
    summary="Metrics for Prometheus",
    tags=["Health"],
    responses=documented(),
    response_description="This process's metrics, and the queue's.",
)
async def get_metrics(request: Request[Any, Any, Any], queue_figures: NamedDependency[QueueFigures]) -> Response[bytes]:
    """In Prometheus' text format, or OpenMetrics by `Accept`. Numbers of the whole system; nothing of any owner's."""
    await queue_figures.refresh()
    encode, media_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(metrics.REGISTRY), media_type=media_type)


class Watched:
    """One request: what class of status it came to, how long it took, and its span where anybody wants to know. Here
    answers get the headers that all of them have.
    """

    __slots__ = ("_began", "_scope", "_span", "_spans", "_status", "_traceparent")

    def __init__(self, scope: "HTTPScope", tracer: tracing.Tracer | None) -> None:
        self._scope = scope
        self._status: int | None = None
        self._began = time.perf_counter()
        self._traceparent = tracing.accepted(sent(scope, b"traceparent"))
        self._span: tracing.Span | None = None
        self._spans: tracing.Spans | None = None
        if tracer is not None and not scope["path"].startswith(UNTRACED):
            self._span = tracer.start(scope["method"], parent=self._traceparent, kind="server")
            self._spans = tracing.Spans(tracer)
            self._traceparent = self._span.traceparent

    async def serve(self, app: "ASGIApp", receive: "Receive", send: "Send") -> None:
        async def noted(message: "Message") -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                complete(message, self._scope)
            await send(message)

        try:
            if self._traceparent is None:
                await app(self._scope, receive, noted)
            else:
                with tracing.within(self._traceparent, self._spans):
                    await app(self._scope, receive, noted)
        finally:
            self._end()

    def _end(self) -> None:
        handler: BaseRouteHandler | None = self._scope.get("route_handler")  # none of it before routing
        name = UNROUTED if handler is None else operation(handler)
        status = ABORTED if self._status is None else f"{self._status // 100}xx"
        _counter(name, status).inc()
        metrics.REQUEST_SECONDS.observe(time.perf_counter() - self._began, name)
        if self._span is not None:
            failed = self._status is None or self._status >= 500
            code = {} if self._status is None else {"http.response.status_code": self._status}
            attributes = {"http.request.method": self._scope["method"], **code}
            self._span.end(name=name, error=status if failed else None, attributes=attributes)


@lru_cache(maxsize=1024)
def _counter(name: str, status: str) -> Counter:
    return metrics.REQUESTS.labels(name, status)
