"""What is known about each request: its id, its access line, its metrics, its last-resort error.

Pure ASGI: a BaseHTTPMiddleware halves throughput and hides disconnects.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.health import Probes
from app.metrics import REJECTIONS, Metrics
from app.problems import error_response

logger = logging.getLogger(__name__)

SCOPE_KEY = "loyal.record"
SANE_ID = re.compile(r"[\x21-\x7e]{1,128}")
UNKNOWN = "unknown"
CLIENT_CLOSED = 499
INFERENCE = ("/v1/", "/v2/models/")
"""What is posted below these paths is inference."""


@dataclass(slots=True)
class Record:
    """What the access line and the metrics say about a request; routes fill it in.

    Attributes:
        route: the path as declared.
        fields: of the access line.
        stages: what the time went into: name, start and end in seconds of time.monotonic().
    """

    request_id: str
    is_inference: bool
    start_s: float = field(default_factory=time.monotonic)
    status: int = CLIENT_CLOSED
    error_code: str | None = None
    route: str = UNKNOWN
    task: str = UNKNOWN
    model: str = UNKNOWN
    version: str = UNKNOWN
    fields: dict[str, object] = field(default_factory=dict)
    stages: Sequence[tuple[str, float, float]] = ()


Trace = Callable[[Scope, Record, float], str]
"""Reports a request that ended at this monotonic time as spans; returns its trace id."""


def record_of(request: Request) -> Record:
    """The record of a request."""
    record = request.scope[SCOPE_KEY]
    assert isinstance(record, Record)
    return record


class Telemetry:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, probes: Probes, trace: Trace | None
    ) -> None:
        """Wrap an application."""
        self._app = app
        self._metrics = metrics
        self._probes = probes
        self._trace = trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(
            _request_id(Headers(scope=scope).get("x-request-id", "")),
            is_inference=scope["method"] == "POST" and scope["path"].startswith(INFERENCE),
        )
        scope[SCOPE_KEY] = record
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                record.status = message["status"]
                headers = message["headers"]
                headers.append((b"x-request-id", record.request_id.encode("latin-1")))
                if record.is_inference:
                    elapsed_ms = (time.monotonic() - record.start_s) * 1000
                    headers.append((b"x-total-time", b"%.2f" % elapsed_ms))
                if self._probes.is_draining:
                    # Sends kept connections elsewhere before they have to be cut.
                    headers.append((b"connection", b"close"))
            await send(message)

        if record.is_inference:
            self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("request_failed", extra={"request_id": record.request_id})
            if is_started:
                raise
            error = ServiceError("the service failed; the log has the cause under this request id")
            record.error_code = error.code
            response = error_response(error, path=scope["path"], request_id=record.request_id)
            await response(scope, receive, send_with_headers)
        finally:
            self._finish(scope, record)

    def _finish(self, scope: Scope, record: Record) -> None:
        end_s = time.monotonic()
        # The path as declared: the one that was sent may hold anything.
        record.route = getattr(scope.get("route"), "path", record.route)
        seconds = end_s - record.start_s
        if record.is_inference:
            self._metrics.in_progress.dec()
            labels = (record.task, record.model, record.version)
            self._metrics.requests.labels(*labels, str(record.status)).inc()
            self._metrics.request_duration.labels(*labels).observe(seconds)
            if record.error_code in REJECTIONS:
                self._metrics.rejected.labels(*labels, REJECTIONS[record.error_code]).inc()
        line = {
            "request_id": record.request_id,
            "method": scope["method"] if scope["method"].isalpha() else UNKNOWN,
            "route": record.route,
            "status": record.status,
            "total_ms": round(seconds * 1000, 2),
            **record.fields,
        }
        if record.error_code:
            line["code"] = record.error_code
        if self._trace:
            line["trace_id"] = self._trace(scope, record, end_s)
        logger.info("request", extra=line)


def _request_id(sent: str) -> str:
    """The caller's id if it is short printable ASCII, else a new one."""
    return sent if SANE_ID.fullmatch(sent) else uuid.uuid4().hex
