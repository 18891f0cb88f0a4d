"""The service on a socket, in a thread of this process, for clients that bring their own HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.main import create_service
from app.settings import Settings

START_TIMEOUT_S = 60


@contextmanager
def listening(store: Path, **settings: object) -> Iterator[str]:
    """Serve a store; ready when this yields its host and port."""
    service = create_service(
        Settings.model_validate({"model_store": store, "threads": 1} | settings)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(service.app, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_until_ready(address)
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _wait_until_ready(address: str) -> None:
    for _ in range(10 * START_TIMEOUT_S):
        if httpx.get(f"http://{address}/readyz", timeout=START_TIMEOUT_S).is_success:
            return
        threading.Event().wait(0.1)
    pytest.fail("the service is not ready")
