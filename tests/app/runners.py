"""A batcher with a runner that tests can hold and look into."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores
from app.isolation import Run
from app.metrics import Metrics
from tests.app.harness import until

LIMITS = Limits(
    max_batch_tokens=64,
    max_batch_items=4,
    max_queue_items=8,
    max_queue_tokens=80,
    max_request_tokens=10_000,
    max_queue_s=60.0,
)
ROOMY = replace(LIMITS, max_queue_items=1000, max_queue_tokens=10_000)
POISON = 666


def window(length: int, *, first_id: int = 1) -> Window:
    ids = np.arange(first_id, first_id + length, dtype=np.int64)
    return Window(ids, np.zeros_like(ids), offset=0, prefix=0, size=length)


def echo(windows: Sequence[Window]) -> list[WindowOutputs]:
    """A runner whose outputs are the ids, so that each answer shows whose it is."""
    return [{"ids": window.input_ids.astype(np.float32)} for window in windows]


def echo_unless_poisoned(windows: Sequence[Window]) -> list[WindowOutputs]:
    if any(POISON in window.input_ids for window in windows):
        raise RuntimeError("the graph fails")
    return echo(windows)


class Gate:
    """A runner that waits until it is opened and remembers its batches."""

    def __init__(self, run: Run = echo) -> None:
        self.batches: list[list[int]] = []
        self._run = run
        self._opened = threading.Event()

    def __call__(self, windows: Sequence[Window]) -> list[WindowOutputs]:
        self.batches.append([len(window.input_ids) for window in windows])
        assert self._opened.wait(10)
        return self._run(windows)

    def open(self) -> None:
        self._opened.set()


@asynccontextmanager
async def batching(
    run: Run,
    cores: Cores,
    metrics: Metrics | None = None,
    *,
    limits: Limits = LIMITS,
    seconds_per_token: float = 1e-6,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        run,
        cores,
        limits=limits,
        metrics=(metrics or Metrics()).for_model("ner", "tiny", "1"),
        seconds_per_token=seconds_per_token,
    )
    try:
        yield batcher
    finally:
        batcher.stop("draining", "the test is over")


async def fill(
    batcher: Batcher, gate: Gate, windows: Sequence[Window]
) -> list[asyncio.Task[object]]:
    """Occupy the core, then queue `windows` as one request."""
    running = asyncio.create_task(batcher.submit([window(1)]))
    await until(lambda: gate.batches == [[1]])
    if not windows:
        return [running]
    waiting = asyncio.create_task(batcher.submit(windows))
    await until(lambda: batcher.queued_items == len(windows))
    return [running, waiting]
