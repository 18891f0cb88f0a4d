"""Servers in processes of their own: started on a free port, ended whatever happens."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psutil

START_TIMEOUT_S = 180.0
END_TIMEOUT_S = 15.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Service:
    """A running Loyal."""

    port: int
    process: psutil.Process

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever is in it
        """JSON of a route."""
        return json.loads(fetch(self.port, path))

    @property
    def rss_bytes(self) -> int:
        """Memory of the process that is in RAM."""
        return int(self.process.memory_info().rss)


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy that the environment names: the services are on this machine."""


def fetch(port: int, path: str) -> bytes:
    """Body of a 200.

    Raises:
        OSError: anything else.
    """
    with DIRECT.open(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return bytes(reply.read())


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its descendants."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


@contextmanager
def service(
    model_store: str, *, cores: Sequence[int] = (), **settings: object
) -> Iterator[Service]:
    """Loyal with every model loaded that it loads by itself, without a delay at shutdown.

    Args:
        model_store: folder.
        cores: that it may use; all if none are named.
        settings: by name, without prefix.
    """
    port = free_port()
    with running(
        loyal_command(port),
        is_ready=lambda: no_model_is_loading(port),
        env=loyal_environment(model_store, **settings),
        cores=cores,
    ) as process:
        yield Service(port, process)


def loyal_command(port: int) -> list[str]:
    """Starts Loyal on a port."""
    return [sys.executable, "-m", "app", "serve", "--host", "127.0.0.1", "--port", str(port)]


def loyal_environment(model_store: str, **settings: object) -> dict[str, str]:
    """Settings of Loyal, and none that the shell happens to have."""
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "LOYAL_"}
    settings = {"model_store": model_store, "drain_delay_s": 0} | settings
    return inherited | {f"LOYAL_{name.upper()}": str(value) for name, value in settings.items()}


def no_model_is_loading(port: int) -> bool:
    """Whether every model has loaded; Loyal is ready when the default ones have."""
    try:
        models = json.loads(fetch(port, "/readyz"))["models"]
    except (urllib.error.URLError, OSError):
        return False
    return all(model["state"] != "loading" for model in models)


@contextmanager
def running(
    command: Sequence[str],
    *,
    is_ready: Callable[[], bool],
    env: Mapping[str, str],
    cores: Sequence[int] = (),
) -> Iterator[psutil.Process]:
    """A process that is ready when this returns; ended with all that it started.

    Raises:
        RuntimeError: it is not ready in time; says how its output ends.
    """
    signal.signal(signal.SIGTERM, _exit)  # so that `finally` runs
    with tempfile.TemporaryFile("w+") as log:
        with on_cores(cores):
            popen = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        process = psutil.Process(popen.pid)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_ready():
                if popen.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    output = log.read()[-3000:]
                    raise RuntimeError(f"ended, or not ready in time; its log:\n{output}")
                time.sleep(POLL_S)
            yield process
        finally:
            end(popen)


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What is started here may use these cores alone; all if none are named, or off Linux."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def end(popen: subprocess.Popen[Any]) -> None:
    """End a process and its descendants by their ids: asked first, then killed."""
    descendants: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(popen.pid).children(recursive=True)
    popen.terminate()
    try:
        popen.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    _, alive = psutil.wait_procs(descendants, timeout=2)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil makes sure that the id still means this process
    psutil.wait_procs(alive, timeout=END_TIMEOUT_S)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
