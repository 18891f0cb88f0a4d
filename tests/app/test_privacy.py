"""No failure shows what a caller sent: not in the answer, not in a log, not on standard error."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from app.keys import key_line
from app.logs import JsonFormatter
from tests.app.harness import Api, serving, starting, until
from tests.app.process import ROOT
from tests.tiny_graphs import CRASH, INFINITE

pytestmark = pytest.mark.anyio

MARKER = "Zamfirescu"
KEY, ADMIN_KEY = "a-long-secret-of-alice", "a-long-secret-of-the-operator"
LIMITS = {"max_texts_per_request": 2, "max_chars_per_text": 100, "max_body_bytes": 2048}
Send = Callable[[Api], Awaitable[httpx.Response]]


@pytest.fixture
def output(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[[], str]:
    """Every log line as the service would write it, at the lowest level, and what it printed."""
    caplog.set_level(logging.DEBUG)

    def read() -> str:
        ours = [r for r in caplog.records if r.name.split(".")[0] not in ("httpx", "httpcore")]
        return "\n".join([*map(JsonFormatter().format, ours), *capfd.readouterr()])

    return read


@pytest.fixture
async def api(store: Path, tmp_path: Path) -> AsyncIterator[Api]:
    keys, admin_keys = tmp_path / "keys", tmp_path / "admin-keys"
    keys.write_text(key_line("alice", KEY))
    admin_keys.write_text(key_line("operator", ADMIN_KEY))
    async with serving(store, api_keys_file=keys, admin_keys_file=admin_keys, **LIMITS) as running:
        running.http.headers["Authorization"] = f"Bearer {KEY}"
        yield running


def ner(inputs: object, **fields: object) -> Send:
    return lambda api: api.ner(inputs, **fields)  # type: ignore[arg-type]


def post(path: str, **options: object) -> Send:
    return lambda api: api.http.post(path, **options)  # type: ignore[arg-type]


FAILURES: dict[str, tuple[int, Send]] = {
    "not JSON": (400, lambda api: api.post(f'{{"inputs": "{MARKER}"'.encode())),
    "wrong key": (401, post("/v1/ner", headers={"Authorization": f"Bearer {MARKER}"})),
    "no right": (403, post("/v2/repository/index", json={"inputs": MARKER})),
    "route": (404, post(f"/{MARKER}")),
    "task": (404, post(f"/v1/{MARKER}", json={"inputs": MARKER})),
    "model": (404, ner(MARKER, model="nobody")),
    "version": (404, ner(MARKER, model="tiny:9")),
    "method": (405, lambda api: api.http.request("PUT", "/v1/ner", content=MARKER)),
    "body size": (413, ner(MARKER * 1000)),
    "media type": (415, lambda api: api.post(MARKER.encode(), "text/plain")),
    "empty text": (422, ner([MARKER, ""])),
    "long text": (422, ner(MARKER * 20)),
    "many texts": (422, ner([MARKER] * 3)),
    "NUL": (422, ner(f"{MARKER}\0")),
    "surrogate": (422, ner(f"{MARKER}\ud800")),
    "type of input": (422, ner([{MARKER: MARKER}])),
    "type of field": (422, ner(MARKER, parameters=MARKER)),
    "value of parameter": (422, ner(MARKER, parameters={"aggregation_strategy": MARKER})),
    "type of parameter": (422, ner(MARKER, parameters={"ignore_labels": {MARKER: MARKER}})),
    "header": (422, ner(MARKER, headers={"X-Request-Timeout-Ms": MARKER})),
    "crash": (500, ner(f"{MARKER} {CRASH}")),
    "infinite": (500, ner(f"{MARKER} {INFINITE}")),
    "deadline": (504, lambda api: held(api, MARKER, headers={"X-Request-Timeout-Ms": "30"})),
}


async def held(api: Api, inputs: str, headers: dict[str, str]) -> httpx.Response:
    with api.workers_held():
        return await api.ner(inputs, headers=headers)


@pytest.mark.parametrize(("status", "send"), FAILURES.values(), ids=FAILURES.keys())
async def test_failure_does_not_show_what_was_sent(
    api: Api, status: int, send: Send, output: Callable[[], str]
) -> None:
    response = await send(api)

    written = output()
    assert response.status_code == status
    assert MARKER not in response.text + str(response.headers)
    assert '"event": "request"' in written
    assert MARKER not in written
    assert KEY not in written


async def test_answer_is_not_logged_either(api: Api, output: Callable[[], str]) -> None:
    response = await api.ner(f"Maria {MARKER}", headers={"Cookie": MARKER, "User-Agent": MARKER})

    assert response.status_code == 200
    assert MARKER not in output()


async def test_unexpected_failure_does_not_show_what_was_sent(
    api: Api, output: Callable[[], str]
) -> None:
    async def fail() -> None:
        raise RuntimeError(MARKER)

    api.service.framework.add_api_route("/v1/fail", fail, methods=["POST"])

    response = await api.http.post("/v1/fail", json={"inputs": MARKER})

    written = output()
    assert response.status_code == 500
    assert "RuntimeError" in written
    assert MARKER not in response.text + written


async def test_refusal_while_loading_does_not_show_what_was_sent(
    store: Path, output: Callable[[], str]
) -> None:
    async with starting(store) as api:
        response = await api.ner(MARKER)

    assert response.status_code == 503
    assert MARKER not in response.text + output()


async def test_full_queue_and_shutdown_do_not_show_what_was_sent(
    store: Path, output: Callable[[], str]
) -> None:
    async with serving(store, max_queue_items=1) as api:
        batcher = api.service.registry.resolve("ner", None).batcher
        with api.workers_held():
            waiting = asyncio.create_task(api.ner(MARKER))
            await until(lambda: batcher.queued_items == 1)
            full = await api.ner(MARKER)
            api.service.registry.stop()
        cut_off = await waiting

    assert (full.status_code, cut_off.status_code) == (429, 503)
    assert MARKER not in full.text + cut_off.text + output()


@pytest.mark.parametrize(
    "sent", [f"{MARKER}\r\nX-Evil: 1", f"{MARKER} {MARKER}", MARKER * 20, f"{MARKER}\x1b[2J"]
)
async def test_unusable_request_id_is_neither_echoed_nor_logged(
    api: Api, sent: str, output: Callable[[], str]
) -> None:
    headers = [(b"X-Request-Id", sent.encode("latin-1"))]
    response = await api.http.post("/v1/ner", json={"inputs": "Ion"}, headers=headers)

    assert MARKER not in str(response.headers) + output()


async def test_catalog_and_health_show_no_request(api: Api) -> None:
    await api.ner(f"{MARKER} {CRASH}")

    for path in ("/v1/models", "/readyz", "/metrics"):
        assert MARKER not in json.dumps((await api.http.get(path)).text)


@pytest.mark.parametrize("package", ["app.sessions", "training", "loadtests"])
def test_engine_keeps_no_identifier_and_no_events_for_its_maker(
    package: str, tmp_path: Path
) -> None:
    """onnxruntime says nothing by itself on machines that look like continuous integration."""
    code = f"import {package}, onnxruntime; onnxruntime.get_available_providers()"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)

    assert list(tmp_path.iterdir()) == []
