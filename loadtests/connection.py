"""One HTTP/1.1 connection that stays open, as thin as asyncio allows.

The load generator runs on the cores of the service: what it costs, the service does not get.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import cast

HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Malformed(ConnectionError):
    """What arrived is not a reply as HTTP/1.1 has it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; the body of a chunked one is as it came over the wire."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Value of a header."""
        found = re.search(rb"\r\n%s: *([^\r]*)\r\n" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else None


def post(path: str, body: bytes) -> bytes:
    """A request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def take_reply(received: bytes) -> tuple[Reply, bytes] | None:
    """The first reply in what was received, and the rest; None if it is not complete.

    Raises:
        Malformed: no reply that can be told from the next.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, rest = received[: end + 4], received[end + 4 :]
    if not head.startswith(b"HTTP/1.1 "):
        raise Malformed("the reply is not HTTP/1.1")
    if length := LENGTH.search(head):
        size = int(length[1])
    elif CHUNKED.search(head):
        last = 0 if rest.startswith(b"0\r\n\r\n") else rest.find(b"\r\n0\r\n\r\n") + 2
        if last == 1:
            return None
        size = last + len(b"0\r\n\r\n")
    else:
        raise Malformed("the reply has neither content-length nor chunks")
    if len(rest) < size:
        return None
    return Reply(int(head[9:12]), head, rest[:size]), rest[size:]


class Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._reply: asyncio.Future[Reply] | None = None
        self.is_open = True
        self.used_s = 0.0

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    async def ask(self, request: bytes, *, timeout_s: float) -> Reply:
        """Send a request and wait for its reply.

        Raises:
            ConnectionError: the connection ended first.
            TimeoutError: no reply in time; the connection is of no use any more.
        """
        if not self.is_open or self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._reply = self._loop.create_future()
        self._transport.write(request)
        timer = self._loop.call_later(timeout_s, self._give_up)
        try:
            reply = await self._reply
        finally:
            timer.cancel()
        self.used_s = self._loop.time()
        if CLOSE.search(reply.head):
            self.close()
        return reply

    def close(self) -> None:
        """Close at once."""
        self.is_open = False
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio calls it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class

    def data_received(self, data: bytes) -> None:
        """asyncio calls it."""
        self._received += data
        try:
            taken = take_reply(self._received)
        except Malformed as error:
            self._fail(error)
            return
        if taken and self._reply and not self._reply.done():
            reply, self._received = taken
            self._reply.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio calls it."""
        self._fail(ConnectionResetError("the connection was closed before the reply"))

    def _give_up(self) -> None:
        self._fail(TimeoutError("no reply"))

    def _fail(self, error: Exception) -> None:
        if self._reply and not self._reply.done():
            self._reply.set_exception(error)
        self.close()
