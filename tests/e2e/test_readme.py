"""The commands of README.md, run against the committed models, answer what README.md shows.

A fenced block counts if the line before it is `<!-- run -->`; if the next fenced block is JSON, it
is the expected reply.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
STORE = ROOT / "model_store"
FENCE = re.compile(r"(<!-- run -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFAULT_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost):8000\b")
SCORE_TOLERANCE = 0.05
"""Integer kernels round differently from one processor to the next."""
START_TIMEOUT_S = 60.0

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not README.exists(), reason="README.md is not written yet"),
    pytest.mark.skipif(
        not any(STORE.glob("*/*/*/manifest.json")), reason="model_store/ has no package yet"
    ),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


@dataclass(frozen=True, slots=True)
class Example:
    """A block to run.

    Attributes:
        commands: shell text.
        reply: expected JSON; None if README.md shows none.
    """

    commands: str
    reply: object


def examples() -> list[Example]:
    blocks = FENCE.findall(README.read_text(encoding="utf-8")) if README.exists() else []
    followers = [*blocks, ("", "", "")][1:]
    return [
        Example(text, json.loads(next_text) if language == "json" and not next_run else None)
        for (run, _, text), (next_run, language, next_text) in zip(blocks, followers, strict=True)
        if run
    ]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Host and port of a running service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = os.environ | {
        "LOYAL_HOST": "127.0.0.1",
        "LOYAL_PORT": address.partition(":")[2],
        "LOYAL_MODEL_STORE": str(STORE),
        "LOYAL_DRAIN_DELAY_S": "0",
    }
    process = subprocess.Popen([sys.executable, "-m", "app", "serve"], cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready(address):
            assert process.poll() is None, f"the service ended with {process.returncode}"
            assert time.monotonic() < deadline, f"not ready after {START_TIMEOUT_S:.0f} s"
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def is_ready(address: str) -> bool:
    """Whether every model has loaded; the service itself is ready when the default ones have."""
    try:
        reply = httpx.get(f"http://{address}/readyz")
    except httpx.TransportError:
        return False
    return reply.is_success and all(m["state"] != "loading" for m in reply.json()["models"])


def with_tolerance(value: object) -> object:
    """The same JSON value, equal to any whose scores, the only fractions in a reply, are close."""
    match value:
        case dict():
            return {key: with_tolerance(item) for key, item in value.items()}
        case list():
            return [with_tolerance(item) for item in value]
        case float():
            return pytest.approx(value, abs=SCORE_TOLERANCE)
    return value


def test_readme_has_commands_to_run() -> None:
    assert examples()


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.commands.split("\n")[0])
def test_readme_command_answers_as_shown(example: Example, address: str) -> None:
    commands = DEFAULT_ADDRESS.sub(address, example.commands)

    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    if example.reply is not None:
        assert json.loads(finished.stdout) == with_tolerance(example.reply)
