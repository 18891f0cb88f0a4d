"""Who sends when: closed loops, whose callers wait for their replies, and open arrivals."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.connection import Connection, Reply

REPLY_TIMEOUT_S = 30.0
"""Longer than the service may take for anything: a request without a reply by then hangs."""

MAX_IDLE_S = 1.0
"""A connection that was idle for longer is not used again: the server may be closing it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that was sent.

    Attributes:
        due_s: monotonic time at which it was to be sent.
        sent_s: at which it was.
        done_s: at which its reply was complete, or given up.
        status: of the reply; 0 without one.
        retry_after_s: what the reply said about coming back.
    """

    due_s: float
    sent_s: float
    done_s: float
    status: int
    retry_after_s: int | None = None

    @property
    def seconds(self) -> float:
        """From when it was due, so that a generator that is late hides nothing."""
        return self.done_s - self.due_s


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of the load generator gave.

    Attributes:
        samples: in order of their ends.
        seconds: that they cover.
        generator_cores: cores that the generator itself kept busy.
    """

    samples: Sequence[Sample]
    seconds: float
    generator_cores: float

    @property
    def accepted(self) -> list[Sample]:
        """Those that were answered."""
        return [sample for sample in self.samples if sample.status == 200]

    @property
    def accepted_per_s(self) -> float:
        """Answers a second."""
        return len(self.accepted) / self.seconds


def arrivals(rate: float, seconds: float, *, seed: int) -> list[float]:
    """Times of a Poisson process, in seconds from its start.

    Args:
        rate: mean arrivals a second.
        seconds: how long it lasts.
        seed: of its randomness.
    """
    generator = random.Random(seed)
    times: list[float] = []
    now = generator.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += generator.expovariate(rate)
    return times


async def closed_loop(
    port: int,
    requests: Iterator[bytes],
    *,
    clients: int,
    seconds: float = math.inf,
    warm_up_s: float = 0.0,
    on_reply: Callable[[bytes, Reply], None] | None = None,
) -> Load:
    """Let callers send their next request when the last one is answered.

    A refused caller comes back when Retry-After says so.

    Args:
        port: of the server.
        requests: taken one by one, by whichever caller is free; the run ends with them.
        clients: callers, each with a connection of its own.
        seconds: after which the run ends, without the warm-up.
        warm_up_s: at the beginning; replies that come then do not count.
        on_reply: told of every reply.
    """
    samples: list[Sample] = []
    start, cpu = time.monotonic(), time.process_time()
    first, last = start + warm_up_s, start + warm_up_s + seconds

    async def call() -> None:
        pool = Pool(port)
        for request in requests:
            due_s = time.monotonic()
            if due_s >= last:
                break
            sample, reply = await _send(pool, request, due_s)
            samples.append(sample)
            if reply and on_reply:
                on_reply(request, reply)
            if sample.retry_after_s is not None:
                await asyncio.sleep(min(sample.retry_after_s, max(0.0, last - sample.done_s)))
        pool.close()

    await asyncio.gather(*(call() for _ in range(clients)))
    end = time.monotonic()
    cores = (time.process_time() - cpu) / (end - start)
    counted = [sample for sample in samples if first <= sample.done_s < last]
    return Load(counted, min(last, end) - first, cores)


async def open_loop(port: int, requests: Iterator[bytes], *, times_s: Sequence[float]) -> Load:
    """Send requests at given times, however the server is doing; ends when all have ended.

    Args:
        port: of the server.
        requests: at least as many as times.
        times_s: from now, ascending.
    """
    pool = Pool(port)
    tasks: list[asyncio.Task[tuple[Sample, Reply | None]]] = []
    start, cpu = time.monotonic(), time.process_time()
    for time_s, request in zip(times_s, requests, strict=False):
        wait_s = start + time_s - time.monotonic()
        # Those that are due go out together; the loop gets its turn with each.
        await asyncio.sleep(max(0.0, wait_s))
        tasks.append(asyncio.create_task(_send(pool, request, start + time_s)))
    sent_s = time.monotonic()
    cores = (time.process_time() - cpu) / (sent_s - start)
    samples = [sample for sample, _ in await asyncio.gather(*tasks)]
    pool.close()
    return Load(samples, time.monotonic() - start, cores)


class Pool:
    """Open connections to a port; the one used last is used next."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def take(self) -> Connection:
        """An idle connection, or a new one."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now - connection.used_s <= MAX_IDLE_S:
                return connection
            connection.close()
        return await Connection.to(self._port)

    def give_back(self, connection: Connection) -> None:
        """Use a connection again, if it can be."""
        if connection.is_open:
            self._idle.append(connection)

    def close(self) -> None:
        """Close all that are idle."""
        for connection in self._idle:
            connection.close()


async def _send(pool: Pool, request: bytes, due_s: float) -> tuple[Sample, Reply | None]:
    sent_s = time.monotonic()
    try:
        connection = await pool.take()
        reply = await connection.ask(request, timeout_s=REPLY_TIMEOUT_S)
    except OSError:  # a refused or broken connection, and the time-out
        return Sample(due_s, sent_s, time.monotonic(), status=0), None
    pool.give_back(connection)
    retry_after = reply.header("retry-after") if reply.status != 200 else None
    retry_after_s = int(retry_after) if retry_after and retry_after.isdigit() else None
    return Sample(due_s, sent_s, time.monotonic(), reply.status, retry_after_s), reply
