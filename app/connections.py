"""Connections: uvicorn's HTTP/1.1, with bounds on what comes before a request.

uvicorn bounds neither the size of a request's head nor the time it takes: a few silent sockets or
one endless header would hold memory for as long as they like. Bodies are bounded where they are
read.
"""

import asyncio
import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.errors import Fault, RequestError, ServiceError, Unavailable
from app.problems import problem

MAX_HEAD_BYTES = 65_536
"""Request line and headers; also trailers, and whatever else the parser does not hand on."""

MAX_HEADERS = 128

UPGRADE = re.compile(rb"\nupgrade([ \t]*:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may do.

    Attributes:
        max_connections: open at once.
        head_timeout_s: from connecting, or from a head's first byte, to its end.
        unlimited_port: of a listener that takes connections beyond `max_connections`.
    """

    max_connections: int
    head_timeout_s: float
    unlimited_port: int | None


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
    ) -> None:
        """Not connected yet."""
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._undelivered_bytes = 0
        self._fault: ServiceError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP
        """Take the connection, or turn it away if there are too many."""
        super().connection_made(transport)
        self._await_head()
        is_limited = not self.server or self.server[1] != self._limits.unlimited_port
        if is_limited and len(self.connections) > self._limits.max_connections:
            detail = "too many connections are open; try again after Retry-After seconds"
            self._refuse(Unavailable("too_many_connections", detail))

    def data_received(self, data: bytes) -> None:
        """Parse on; what the parser keeps to itself has a bound."""
        if self.timeout_keep_alive_task is not None:
            # The next head begins, or a body goes on that was answered before its end.
            self._await_head()
        self._undelivered_bytes += len(data)
        if self._head_timer is not None:
            data = _without_upgrade(data)
        super().data_received(data)
        if self._undelivered_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_head_too_large())

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._undelivered_bytes = 0
        self._stop_timer()
        num_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if num_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._fault = _head_too_large()
            raise self._fault  # ends the parsing: uvicorn calls send_400_response
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._undelivered_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser cannot read."""
        detail = "the request is not valid HTTP/1.1"
        self._refuse(self._fault or RequestError(Fault("invalid_http", detail)))

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self._limits.head_timeout_s, self._hang_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # close() would wait for a client that does not even read
        else:
            self.transport.close()

    def _refuse(self, error: ServiceError) -> None:
        """Answer where there is no request, and close."""
        if self.cycle is None or self.cycle.response_complete:
            request_id = uuid.uuid4().hex
            response = problem(error, request_id=request_id)
            response.headers["X-Request-Id"] = request_id
            status = response.status_code
            head = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
            headers = [*self.server_state.default_headers, *response.raw_headers]
            head += [name + b": " + value for name, value in headers]
            lines = [*head, b"connection: close", b"", bytes(response.body)]
            self.transport.write(b"\r\n".join(lines))
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """Let a head offer no other protocol: the parser would take the body for a part of that.

    HTTP lets a server ignore the offer (RFC 9110, 7.8); Java's client makes it with every request.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(rb"\nx-offer\1", head) + end + rest


def _head_too_large() -> RequestError:
    detail = f"the headers may be {MAX_HEADERS}, with {MAX_HEAD_BYTES} bytes together"
    return RequestError(Fault("head_too_large", detail))
