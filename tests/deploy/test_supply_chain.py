"""What the images install: locked, hashed, audited, listed."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtests.servers import free_port
from tests.deploy.conftest import ROOT
from tests.deploy.dockerfile import read_stages

LOCKS = sorted((ROOT / "docker").glob("*.lock"))
SERVE = ROOT / "docker/serve.lock"
VULNERABLE = "starlette"
ADVISORY = {
    "id": "PYSEC-0000-1",
    "summary": "made up for this test",
    "affected": [{"package": {"name": VULNERABLE, "ecosystem": "PyPI"}, "versions": []}],
}


def packages(lock: Path) -> dict[str, list[str]]:
    """Hashes of each `name==version` of a lock."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return {
        line.split()[0]: re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)
        for line in text.splitlines()
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_lock_has_a_hash_for_every_file(lock: Path) -> None:
    found = packages(lock)

    assert found
    assert [name for name, hashes in found.items() if "==" not in name or not hashes] == []


def test_lock_has_the_versions_that_are_tested() -> None:
    def pins(lines: list[str]) -> dict[str, str]:
        pairs = (line.split("==") for line in lines if "==" in line)
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}

    tested = pins((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    locked = pins(list(packages(SERVE)))
    elsewhere = {"colorama"}  # on Windows only

    assert {name: tested.get(name) for name in locked if name not in elsewhere} == {
        name: version for name, version in locked.items() if name not in elsewhere
    }


def test_lock_has_what_the_service_asks_for_and_no_torch() -> None:
    locked = {name.split("==")[0] for name in packages(SERVE)}

    assert locked >= {"fastapi", "onnxruntime", "tokenizers", "uvicorn"}
    assert not locked & {"torch", "transformers", "optimum"}


@pytest.mark.parametrize("name", ["serve", "serve-gpu"])
def test_image_installs_with_hashes_only(name: str) -> None:
    installs = [
        command
        for stage in read_stages(ROOT / f"docker/{name}.Dockerfile")
        for one in stage.instructions
        if one.name == "RUN"
        for command in one.value.split("&&")
        if re.search(r"\bpip\b.* install ", command)
    ]

    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)


def test_audit_fails_for_a_known_vulnerability() -> None:
    with advisories() as address:
        result = audit(address)

    assert result.returncode == 1
    assert f"serve.lock: {VULNERABLE} " in result.stderr
    assert "PYSEC-0000-1" in result.stderr


def test_audit_says_that_it_had_no_network_and_does_not_fail() -> None:
    result = audit(f"http://127.0.0.1:{free_port()}")

    assert result.returncode == 0
    assert "not audited, the advisories cannot be reached" in result.stdout


def test_audit_says_that_a_proxy_let_it_not_through_and_does_not_fail() -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with answering(Refusal) as port:
        proxy = f"http://127.0.0.1:{port}"
        result = audit("https://advisories.invalid/v1/query", https_proxy=proxy)

    assert result.returncode == 0, result.stderr
    assert "not audited, the advisories cannot be reached" in result.stdout


def test_bill_of_materials_lists_the_whole_lock(tmp_path: Path) -> None:
    bill = tmp_path / "bill.json"
    command = ["make", "--silent", "sbom", f"SBOM={bill}"]
    subprocess.run(command, cwd=ROOT, check=True)

    content = json.loads(bill.read_bytes())

    assert content["bomFormat"] == "CycloneDX"
    listed = {f"{one['name']}=={one['version']}" for one in content["components"]}
    assert listed == set(packages(SERVE))
    assert content["metadata"]["component"]["name"] == "loyal"


def audit(address: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "docker/audit.py", "--advisories", address, SERVE]
    env = os.environ | variables
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server on this machine; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def advisories() -> Iterator[str]:
    """An advisory database that knows of one flaw."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            flaws = [ADVISORY] if name == VULNERABLE else []
            reply = json.dumps({"vulns": flaws} if flaws else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as port:
        yield f"http://127.0.0.1:{port}/v1/query"
