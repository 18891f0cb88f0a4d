"""OpenTelemetry spans, as a collector receives them."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from tests.app.process import EXIT_TIMEOUT_S, ROOT, environment, running
from tests.tiny_graphs import CRASH

pytestmark = pytest.mark.e2e

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector(ThreadingHTTPServer):
    """Takes spans over OTLP/HTTP and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: set[str] = set()
        self.resources: list[ResourceSpans] = []

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for resource in self.resources
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.add(self.path)
        self.server.resources += ExportTraceServiceRequest.FromString(body).resource_spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{collector.server_port}")
        yield collector
        collector.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
    }


def test_request_is_one_span_with_its_stages_under_the_callers(
    store: Path, collector: Collector
) -> None:
    with running(store) as process:
        response = httpx.post(
            f"{process.url}/v1/ner",
            json={"inputs": ["Maria Ionescu", "Ion"]},
            headers={"traceparent": TRACEPARENT, "tracestate": "a=b"},
        )
        process.popen.send_signal(signal.SIGTERM)
        exit_code = process.popen.wait(EXIT_TIMEOUT_S)

    assert (response.status_code, exit_code) == (200, 0)
    assert collector.paths == {"/v1/traces"}
    [service] = [a for a in collector.resources[0].resource.attributes if a.key == "service.name"]
    assert service.value.string_value == "loyal"
    [request] = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    stages = [span for span in collector.spans if span.kind == Span.SPAN_KIND_INTERNAL]
    assert request.name == "POST /v1/ner"
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/ner",
        "http.response.status_code": 200,
        "loyal.model": "ner/tiny:1",
        "loyal.inputs": 2,
        "loyal.tokens": 7,
    }
    assert [stage.name for stage in stages] == ["tokenize", "queue", "infer", "decode"]
    for stage in stages:
        assert (stage.trace_id, stage.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= request.end_time_unix_nano
    assert process.line("request")["trace_id"] == TRACE_ID


def test_failure_is_marked_and_no_span_holds_the_text(
    store: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI would send spans and exceptions of its own if the environment asks for them."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    with running(store) as process:
        httpx.post(f"{process.url}/v1/ner", json={"inputs": f"Zamfirescu {CRASH}"})
        httpx.post(f"{process.url}/v1/Zamfirescu", headers={"traceparent": "Zamfirescu"})
        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(EXIT_TIMEOUT_S)

    assert collector.paths == {"/v1/traces"}
    failed, unknown = collector.spans
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "inference_failed"
    assert (unknown.status.code, unknown.name) == (Status.STATUS_CODE_UNSET, "POST unknown")
    assert "Zamfirescu" not in str(collector.spans) + json.dumps(process.lines)
    assert "traceparent" not in json.dumps(process.lines)


def test_trace_that_the_caller_does_not_record_is_logged_and_not_sent(
    store: Path, collector: Collector
) -> None:
    with running(store) as process:
        headers = {"traceparent": TRACEPARENT[:-2] + "00"}
        httpx.post(f"{process.url}/v1/ner", json={"inputs": "Ion"}, headers=headers)
        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(EXIT_TIMEOUT_S)

    assert process.line("request")["trace_id"] == TRACE_ID
    assert collector.spans == []


def test_missing_extra_is_one_clear_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")

    result = serve_without_the_extra(model_store=store)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert f"{ENDPOINT} is set" in line
    assert "pip install --constraint constraints.txt '.[otel]'" in line


def test_extra_is_not_needed_without_an_endpoint(tmp_path: Path) -> None:
    """The service gets as far as a store that is missing."""
    result = serve_without_the_extra(model_store=tmp_path / "nowhere")

    assert "nowhere is missing" in result.stderr


def serve_without_the_extra(**settings: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; "
        "from app.__main__ import main; sys.exit(main(['serve', '--port', '0']))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=EXIT_TIMEOUT_S,
        check=False,
    )
