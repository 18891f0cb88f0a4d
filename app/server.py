"""The process around the application: socket, signals, orderly end."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from functools import partial
from ipaddress import ip_address
from types import FrameType

import uvicorn

from app import logs
from app.connections import Connection, ConnectionLimits
from app.errors import StartupError
from app.main import Service, create_service
from app.settings import Settings, otlp_endpoint

logger = logging.getLogger(__name__)

SWITCH_S = 0.001
"""A core whose batch has ended waits this long at most for the interpreter, not the usual 5 ms."""

KEEP_ALIVE_S = 75
"""Longer than the usual 60 s of load balancers: whoever closes last never cuts a new request."""


class Server(uvicorn.Server):
    """uvicorn that first drains: not ready, but serving, until load balancers have noticed."""

    def __init__(self, config: uvicorn.Config, service: Service, settings: Settings) -> None:
        """Serve `service`."""
        super().__init__(config)
        self._service = service
        self._settings = settings
        self._exit_at_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain; at once without delay for Ctrl-C or a second signal."""
        is_first = self._exit_at_s is None
        delay_s = self._settings.drain_delay_s if is_first and sig == signal.SIGTERM else 0.0
        self._service.probes.is_draining = True
        self._exit_at_s = time.monotonic() + delay_s
        # Not from here: the signal may have interrupted the logger in the middle of a line.
        asyncio.get_running_loop().call_soon_threadsafe(
            partial(logger.info, "draining", extra={"signal": sig, "delay_s": delay_s})
        )

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if self._exit_at_s is not None and time.monotonic() >= self._exit_at_s:
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted; what is left after the grace period gets 503."""
        loop = asyncio.get_running_loop()
        late = loop.call_later(self._settings.shutdown_grace_s, self._service.registry.stop)
        await super().shutdown(sockets)
        late.cancel()


def serve(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises:
        StartupError: store, provider, key file or address cannot be used.
    """
    logs.configure(settings.log_level, sys.stdout)
    tracer = None
    if otlp_endpoint():
        from app.tracing import Tracer  # imports an extra

        tracer = Tracer()
    listener = _listen(settings.host, settings.port)
    listeners, ports = [listener], {"port": listener.getsockname()[1]}
    if settings.admin_port is not None:
        admin = _listen(settings.admin_host or settings.host, settings.admin_port)
        listeners.append(admin)
        ports["admin_port"] = admin.getsockname()[1]
    settings = settings.model_copy(update=ports)
    service = create_service(settings, trace=tracer.trace if tracer else None)
    host = listener.getsockname()[0]
    logger.info("listening", extra={"host": host, "threads": service.registry.cores.count} | ports)
    if settings.api_keys_file is None and not ip_address(host).is_loopback:
        hint = "whoever reaches this address may send requests; set LOYAL_API_KEYS_FILE"
        logger.warning("no_api_keys", extra={"host": host, "hint": hint})
    sys.setswitchinterval(SWITCH_S)
    Server(_config(service, settings), service, settings).run(sockets=listeners)
    if tracer:
        tracer.close()
    logger.info("stopped")


def _config(service: Service, settings: Settings) -> uvicorn.Config:
    limits = ConnectionLimits(
        max_connections=settings.max_connections,
        head_timeout_s=settings.head_timeout_s,
        unlimited_port=settings.admin_port,
    )
    return uvicorn.Config(
        service.app,
        loop="uvloop",
        http=partial(Connection, limits=limits),  # type: ignore[arg-type]  # only ever called
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        # One second more, so that what `shutdown` fails is still answered.
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_s) + 1,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose another with LOYAL_HOST and LOYAL_PORT, or --host and --port; the admin "
            "listener's with LOYAL_ADMIN_HOST and LOYAL_ADMIN_PORT"
        ) from error
