"""The service as a process of its own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
EXIT_TIMEOUT_S = 120
"""Only for a process that hangs: even a crowded machine needs less."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running service.

    Attributes:
        url: where it listens.
        lines: what it has logged so far.
    """

    popen: subprocess.Popen[str]
    url: str
    lines: list[dict[str, object]] = field(default_factory=list)

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]

    def wait_until_loaded(self) -> None:
        """Until each model serves or has failed; `running` waits for the first one only."""
        report = {"models": [{"state": "loading"}]}
        while any(model["state"] == "loading" for model in report["models"]):
            report = httpx.get(f"{self.url}/readyz").json()

    def line(self, event: str) -> dict[str, object]:
        """The first of its kind."""
        return next(line for line in self.lines if line["event"] == event)


def command(
    *arguments: object, stdin: str = "", **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run `python -m app` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        cwd=ROOT,
        env=environment(**settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=EXIT_TIMEOUT_S,
        check=False,
    )


def environment(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "LOYAL_"}
    return inherited | {f"LOYAL_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def running(store: Path, **settings: object) -> Iterator[Process]:
    """Start a service on a free port; ready when this returns, killed if it outlives the test."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0"],
        cwd=ROOT,
        env=environment(model_store=store, threads=1, **{"drain_delay_s": 0} | settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert popen.stdout is not None
    ready = threading.Event()
    lines: list[dict[str, object]] = []

    def read() -> None:
        for text in popen.stdout or ():
            lines.append(json.loads(text))
            if lines[-1]["event"] == "model_ready":
                ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(EXIT_TIMEOUT_S)
        port = next(line["port"] for line in lines if line["event"] == "listening")
        yield Process(popen, f"http://127.0.0.1:{port}", lines)
    finally:
        popen.kill()
        popen.wait()
        reader.join()
        popen.stdout.close()
