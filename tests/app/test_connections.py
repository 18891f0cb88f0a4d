"""What comes over a connection before there is a request, or instead of one."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.connections import MAX_HEAD_BYTES, MAX_HEADERS
from tests.app.process import EXIT_TIMEOUT_S, Process, running
from tests.tiny_package import build, write_aliases

pytestmark = pytest.mark.e2e

HEAD_TIMEOUT_S = 2.0
GET = b"GET /livez HTTP/1.1\r\nHost: test\r\n"
POST = b"POST /v1/ner HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
SLOW = 20
"""Connections that an attacker opens."""


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    build(store)
    write_aliases(store, default="tiny")
    return store


@pytest.fixture(scope="module")
def process(module_store: Path) -> Iterator[Process]:
    with running(module_store) as process:
        yield process


@pytest.fixture(scope="module")
def impatient(module_store: Path) -> Iterator[Process]:
    """Waits for a head as long as a test can wait for it to give up."""
    with running(module_store, head_timeout_s=HEAD_TIMEOUT_S, max_body_bytes=4096) as process:
        yield process


def connect(process: Process) -> socket.socket:
    address = urlsplit(process.url)
    return socket.create_connection((address.hostname, address.port), timeout=EXIT_TIMEOUT_S)


def receive_all(connection: socket.socket) -> bytes:
    """Until the service closes, which is all that these tests wait for."""
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            received += data
    return received


def send_all(connection: socket.socket, data: bytes) -> None:
    """Or as much as the service wants to see."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def assert_refused(reply: bytes, status: int, code: str) -> None:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in head
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["code"] == code
    assert f"x-request-id: {json.loads(body)['instance']}".encode() in head


def test_head_that_does_not_end_closes_the_connection(impatient: Process) -> None:
    unfinished = [b"", b"G", GET, GET + b"X-A: b", GET + b"X-A: b\r\n"]
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(impatient)) for _ in unfinished]
        for connection, sent in zip(connections, unfinished, strict=True):
            connection.sendall(sent)

        assert [receive_all(connection) for connection in connections] == [b""] * 5


def test_head_that_drips_closes_the_connection_and_others_are_served(impatient: Process) -> None:
    """Slowloris: each byte is new, and none of them ends the head."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient)) for _ in range(SLOW)]
        for connection in slow:
            connection.sendall(GET)
        open_connections = set(slow)
        end_s = time.monotonic() + EXIT_TIMEOUT_S
        while open_connections and time.monotonic() < end_s:
            answer = httpx.post(f"{impatient.url}/v1/ner", json={"inputs": "Ion"}, timeout=60)
            assert answer.status_code == 200
            for connection in list(open_connections):
                send_all(connection, b"X")
                connection.setblocking(False)
                try:
                    if connection.recv(1) == b"":
                        open_connections.discard(connection)
                except BlockingIOError:
                    pass
                except ConnectionResetError:
                    open_connections.discard(connection)

        assert not open_connections


def test_second_head_of_a_connection_has_its_time_too(impatient: Process) -> None:
    with connect(impatient) as connection:
        connection.sendall(GET + b"\r\n")
        received = b""
        while b'"status":"ok"' not in received:
            received += connection.recv(65_536)
        connection.sendall(GET)

        assert b"HTTP/1.1" not in receive_all(connection)


def test_body_that_drips_after_its_answer_closes_the_connection(impatient: Process) -> None:
    with connect(impatient) as connection:
        connection.sendall(POST + b"Content-Length: 9999999\r\n\r\n{")
        received = b""
        while b"body_too_large" not in received:
            received += connection.recv(65_536)
        connection.sendall(b"x")

        assert b"HTTP/1.1" not in receive_all(connection)


def test_requests_after_each_other_are_not_timed_together(impatient: Process) -> None:
    with httpx.Client() as client:
        start = time.monotonic()
        while time.monotonic() - start < 1.5 * HEAD_TIMEOUT_S:
            assert client.get(f"{impatient.url}/livez").status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-A: " + b"a" * MAX_HEAD_BYTES,
        GET + b"X-A: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        GET + b"X" * (4 * MAX_HEAD_BYTES),
        GET + b"X-A: b\r\n" * MAX_HEAD_BYTES,
        b"GET /" + b"a" * (4 * MAX_HEAD_BYTES),
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: test\r\n\r\n",
    ],
    ids=["endless", "long", "endless name", "endless many", "endless path", "long path"],
)
def test_head_that_is_too_large_ends_the_connection(process: Process, head: bytes) -> None:
    with connect(process) as connection:
        send_all(connection, head)

        reply = receive_all(connection)

    # A reset, because more was sent than was read, may overtake the answer.
    if reply:
        assert_refused(reply, 431, "head_too_large")


def test_head_with_too_many_headers_is_431(process: Process) -> None:
    with connect(process) as connection:
        connection.sendall(GET + b"X-A: b\r\n" * MAX_HEADERS + b"\r\n")

        assert_refused(receive_all(connection), 431, "head_too_large")


def test_head_at_the_limit_is_answered(process: Process) -> None:
    headers = {f"X-{n}": "a" * 400 for n in range(MAX_HEADERS - 10)}

    assert httpx.get(f"{process.url}/livez", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "tail",
    [b"1\r\n{\r\n0\r\nX-A: " + b"a" * 4 * MAX_HEAD_BYTES, b"1;" + b"a" * 4 * MAX_HEAD_BYTES],
    ids=["trailer", "chunk extension"],
)
def test_endless_trailer_or_chunk_extension_ends_the_connection(
    process: Process, tail: bytes
) -> None:
    with connect(process) as connection:
        send_all(connection, POST + b"Transfer-Encoding: chunked\r\n\r\n" + tail)

        assert b" 200 " not in receive_all(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1 and more\r\n\r\n",
        b"SECRET / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: test\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_what_is_no_http_is_400(process: Process, sent: bytes) -> None:
    with connect(process) as connection:
        connection.sendall(sent)

        assert_refused(receive_all(connection), 400, "invalid_http")


@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade"])
def test_offer_of_another_protocol_is_ignored(process: Process, name: bytes) -> None:
    """As Java's client and curl --http2 make it."""
    body = b'{"inputs": "Ion"}'
    offer = b"Connection: Upgrade, HTTP2-Settings\r\n%s: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" % name
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    with connect(process) as connection:
        connection.sendall(POST + offer + length)
        connection.sendall(body)

        status = connection.recv(65_536).split(b"\r\n")[0]

    assert status == b"HTTP/1.1 200 OK"


def test_connection_above_the_limit_is_turned_away_and_the_next_one_served(store: Path) -> None:
    with running(store, max_connections=3, admin_port=0) as process:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(process)).sendall(GET)
            with connect(process) as refused:
                reply = receive_all(refused)
            admin_url = f"http://127.0.0.1:{process.line('listening')['admin_port']}"
            alive = httpx.get(f"{admin_url}/livez")
        while (answer := ask(process)) is None:
            pass

    assert_refused(reply, 503, "too_many_connections")
    assert b"\r\nretry-after: 1" in reply
    assert alive.status_code == 200
    assert answer == 200


def ask(process: Process) -> int | None:
    """Status of an answer; None while the connections that were closed still count."""
    try:
        status = httpx.get(f"{process.url}/livez").status_code
    except httpx.HTTPError:
        return None
    return None if status == 503 else status
