"""What /openapi.json promises holds for whatever requests can be drawn from it, sound and unsound.

The checks and the values that lead somewhere are in schemathesis.toml.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.app.harness import ADMIN_KEY, admin_settings
from tests.app.process import Process, running
from tests.tiny_package import build, build_all

CONFIG = Path(__file__).with_name("schemathesis.toml")
COMMAND = Path(sys.executable).with_name("st")
MIN_CASES = 2000
SHORT_MS = 1000
"""Of deadlines that may pass; the others that are asked for are ten times as long."""

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was sent, and its reply, as an HTTP archive has them."""

    request: dict[str, object]
    status: int

    def asked_ms(self) -> float:
        """The deadline that the request asks for."""
        headers = {h["name"].lower(): h["value"] for h in self.request["headers"]}
        asked = [float(headers.get("x-request-timeout-ms", "inf"))]
        body = (self.request.get("postData") or {}).get("text", "")
        asked += [int(found) / 1000 for found in re.findall(r'"timeout": ?([1-9]\d*)', body)]
        return min(asked)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of schemathesis, and what the service did meanwhile."""

    finished: subprocess.CompletedProcess[str]
    exchanges: list[Exchange]
    operations: set[tuple[str, str]]
    process: Process


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The service with every task and every route, under all requests that are drawn."""
    folder = tmp_path_factory.mktemp("schemathesis")
    store, archive = folder / "store", folder / "exchanges.har"
    build_all(store)
    for task in ("ner", "qa"):  # to be loaded and unloaded
        build(store, task=task, model="spare")
    with running(store, request_timeout_ms=600_000, **admin_settings(folder)) as process:
        process.wait_until_loaded()
        document = httpx.get(f"{process.url}/openapi.json").json()
        finished = subprocess.run(
            [
                *(COMMAND, "--config-file", CONFIG, "--no-color", "run"),
                *(f"{process.url}/openapi.json", "--report", "har", "--report-har-path", archive),
            ],
            cwd=folder,
            env=os.environ | {"ADMIN_KEY": ADMIN_KEY},
            capture_output=True,
            text=True,
            check=False,
        )
        entries = json.loads(archive.read_bytes())["log"]["entries"]
        yield Run(
            finished,
            [Exchange(entry["request"], entry["response"]["status"]) for entry in entries],
            {
                (method.upper(), path)
                for path, operations in document["paths"].items()
                for method in operations
            },
            process,
        )


def test_every_reply_is_as_documented(run: Run) -> None:
    assert run.finished.returncode == 0, run.finished.stdout[-8000:]


def test_enough_is_asked(run: Run) -> None:
    assert len(run.exchanges) >= MIN_CASES


def test_every_operation_is_answered_well_at_least_once(run: Run) -> None:
    """Else the checks would be about refusals alone."""
    answered = [
        (exchange.request["method"], httpx.URL(str(exchange.request["url"])).path)
        for exchange in run.exchanges
        if exchange.status == 200
    ]
    patterns = {
        (method, path): re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
        for method, path in run.operations
    }

    unanswered = {
        operation
        for operation, pattern in patterns.items()
        if not any(m == operation[0] and pattern.fullmatch(path) for m, path in answered)
    }

    assert len(run.operations) > 20
    assert unanswered == set()


def test_deadline_passes_only_where_the_request_asks_for_a_short_one(run: Run) -> None:
    late = [exchange for exchange in run.exchanges if exchange.status == 504]

    assert [exchange for exchange in late if exchange.asked_ms() > SHORT_MS] == []


def test_service_lives_on_and_is_ready(run: Run) -> None:
    ready = httpx.get(f"{run.process.url}/readyz")

    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert [line for line in run.process.lines if line["level"] == "error"] == []
