"""OpenTelemetry spans over OTLP/HTTP, made when a request has ended, from what was measured anyway.

Nothing is traced while a request runs, so that tracing costs it nothing. The only import of
OpenTelemetry; its own OTEL_* variables (headers, sampler, service name ...) hold.
"""

import time

from starlette.datastructures import Headers
from starlette.types import Scope

from app.errors import StartupError
from app.settings import OTLP_ENDPOINT
from app.telemetry import Record

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, StatusCode, format_trace_id, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise StartupError(
        f"{OTLP_ENDPOINT} is set, but OpenTelemetry cannot be imported ({error}); install it with "
        "`pip install --constraint constraints.txt '.[otel]'` in the project's folder, or unset "
        "the variable"
    ) from error

SERVICE = "loyal"
TRACEPARENT = "traceparent"
SPAN_FIELDS = {"model": "loyal.model", "inputs": "loyal.inputs", "tokens": "loyal.tokens"}
"""Field of the access line -> attribute of the span. No text, no name that a caller sent."""


class Tracer:
    """Sends spans in the background."""

    def __init__(self) -> None:
        """Start; nothing is sent before the first request."""
        resource = Resource({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, scope: Scope, record: Record, end_s: float) -> str:
        """Report a request (a `Trace`): one span for the whole, one for each stage.

        Args:
            scope: of the request; its `traceparent` names the caller's span.
            record: what is known about it.
            end_s: when it ended, seconds of time.monotonic().

        Returns:
            The trace id, 32 hexadecimal digits.
        """
        epoch_ns = time.time_ns() - time.monotonic_ns()

        def at(seconds: float) -> int:
            return epoch_ns + int(seconds * 1e9)

        span = self._tracer.start_span(
            f"{scope['method']} {record.route}",
            # Without tracestate: OpenTelemetry logs it if it is malformed.
            self._propagator.extract({TRACEPARENT: Headers(scope=scope).get(TRACEPARENT, "")}),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "http.route": record.route,
                "http.response.status_code": record.status,
            },
            start_time=at(record.start_s),
        )
        for name, attribute in SPAN_FIELDS.items():
            if name in record.fields:
                span.set_attribute(attribute, record.fields[name])
        if record.error_code:
            span.set_attribute("error.type", record.error_code)
        if record.status >= 500:
            span.set_status(StatusCode.ERROR)
        within = set_span_in_context(span)
        for name, start_s, stage_end_s in record.stages:
            stage = self._tracer.start_span(name, within, start_time=at(start_s))
            stage.end(at(stage_end_s))
        span.end(at(end_s))
        return str(format_trace_id(span.get_span_context().trace_id))

    def close(self) -> None:
        """Send what is left; blocks for some seconds if nobody takes it."""
        self._provider.shutdown()
