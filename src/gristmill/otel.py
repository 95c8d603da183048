"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where traces are asked for.

Endpoint, headers, sampler and limits are the SDK's own settings: the OTEL_* variables of its specification.
"""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gristmill import __version__

KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "internal": SpanKind.INTERNAL}
FLUSH_MS = 3000

_format = TraceContextTextMapPropagator()


class OtlpSpan:
    """A span of the SDK; see `tracing.Span`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _format.inject(carrier, set_span_in_context(span))
        self.traceparent = carrier["traceparent"]

    def end(
        self,
        *,
        name: str | None = None,
        at_ns: int | None = None,
        error: str | None = None,
        attributes: Mapping[str, str | int] | None = None,
    ) -> None:
        if name is not None:
            self._span.update_name(name)
        if attributes:
            self._span.set_attributes(dict(attributes))
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", error)
        self._span.end(at_ns)


class OtlpTracer:
    """See `tracing.Tracer`."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({"service.name": service, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gristmill", __version__)

    def start(self, name: str, *, parent: str | None, kind: str = "internal", at_ns: int | None = None) -> OtlpSpan:
        context = None if parent is None else _format.extract({"traceparent": parent})
        return OtlpSpan(self._tracer.start_span(name, context=context, kind=KINDS[kind], start_time=at_ns))

    def close(self) -> None:
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()
