"""Token-budget batching: the queue of one loaded model and the task that empties it.

There is no timer: a batch is what has queued up while the ones before it ran.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import islice

from app.batch_policy import JITTER, Limits, retry_after_s, take_batch
from app.contract.encoded_text import Window, WindowOutputs
from app.errors import Fault, InferenceFailed, QueueFull, RequestError, Unavailable
from app.isolation import Run, run_isolated
from app.metrics import ModelMetrics

logger = logging.getLogger(__name__)

LOOKAHEAD = 128
"""Oldest waiting items a batch is chosen from."""

RATE_SMOOTHING = 0.2
"""Weight of the latest batch in the measured speed."""

STUCK_S = 30.0
"""A batch that runs longer than this will not come back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one window.

    Attributes:
        outputs: of the graph, by name.
        queue_s: from admission to the start of its batch.
        inference_s: of its batch.
    """

    outputs: WindowOutputs
    queue_s: float
    inference_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A waiting window; whoever waits for it cancels `future` to give it up."""

    window: Window
    position: int
    future: asyncio.Future[Outcome]
    admitted_s: float = field(default_factory=time.monotonic)

    @property
    def num_tokens(self) -> int:
        """Length without padding."""
        return self.window.num_tokens


class Batcher:
    """The queue of one model and the task that empties it."""

    def __init__(
        self, run: Run, executor: Executor, *, workers: int, limits: Limits, metrics: ModelMetrics
    ) -> None:
        """Start; needs a running event loop.

        Args:
            run: called on threads of `executor`.
            executor: shared by all models.
            workers: its threads; one more batch is prepared ahead.
            limits: of batches and queue.
            metrics: of this model.
        """
        self.limits = limits
        self._run = run
        self._executor = executor
        self._workers = workers
        self._metrics = metrics
        # A dict keeps arrival order and gives items up in constant time.
        self._waiting: dict[Item, None] = {}
        self._queued_tokens = 0
        self._in_flight = 0
        self._slots = asyncio.Semaphore(workers + 1)
        self._arrival = asyncio.Event()
        self._seconds_per_token = 0.0
        self._progress_s = time.monotonic()
        self._stopped: tuple[str, str] | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._scheduler = asyncio.create_task(self._schedule(), name="batching")
        self._scheduler.add_done_callback(self._on_scheduler_end)

    @property
    def is_alive(self) -> bool:
        """Whether the scheduler runs."""
        return self._stopped is None and not self._scheduler.done()

    @property
    def is_stuck(self) -> bool:
        """Whether there is work and none of it has moved for STUCK_S."""
        return self._in_flight > 0 and time.monotonic() - self._progress_s > STUCK_S

    @property
    def batches_in_flight(self) -> int:
        """Batches that run or are prepared."""
        return self._in_flight

    @property
    def queued_items(self) -> int:
        """Windows waiting."""
        return len(self._waiting)

    @property
    def queued_tokens(self) -> int:
        """Tokens waiting, without padding."""
        return self._queued_tokens

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest window has waited; 0 if none waits."""
        oldest = next(iter(self._waiting), None)
        return time.monotonic() - oldest.admitted_s if oldest else 0.0

    async def submit(self, windows: Sequence[Window]) -> list[Outcome]:
        """Queue the windows of one request, all or none, and wait for them.

        Cancelling the call gives up what is still waiting.

        Raises:
            QueueFull: they do not fit now.
            RequestError: they would not fit into an empty queue.
            InferenceFailed: the graph failed on one of them.
            Unavailable: the scheduler is gone, or shutdown cut the wait short.
        """
        items = self._admit(windows)
        try:
            return await asyncio.gather(*(item.future for item in items))
        finally:
            for item in items:
                item.future.cancel()
                self._forget(item)

    def stop(self, code: str, detail: str) -> None:
        """Take nothing more and fail what waits, as unavailable with this code and detail."""
        self._stopped = self._stopped or (code, detail)
        self._scheduler.cancel()
        for item in list(self._waiting):
            if not item.future.done():
                item.future.set_exception(Unavailable(*self._stopped))
            self._forget(item)

    def _admit(self, windows: Sequence[Window]) -> list[Item]:
        if self._stopped:
            raise Unavailable(*self._stopped)
        tokens = sum(window.num_tokens for window in windows)
        limits = self.limits
        if len(windows) > limits.max_queue_items or tokens > limits.max_queue_tokens:
            detail = (
                f"the inputs make {len(windows)} windows with {tokens} tokens, at most "
                f"{limits.max_queue_items} windows with {limits.max_queue_tokens} tokens are "
                "taken in one request; send fewer inputs"
            )
            raise RequestError(Fault("request_too_long", detail, field="inputs"))
        if (
            len(self._waiting) + len(windows) > limits.max_queue_items
            or self._queued_tokens + tokens > limits.max_queue_tokens
        ):
            rate = self._workers / self._seconds_per_token if self._seconds_per_token else 0.0
            jitter = random.uniform(-JITTER, JITTER)
            raise QueueFull(
                f"{len(self._waiting)} windows with {self._queued_tokens} tokens are waiting, "
                "more do not fit; try again after Retry-After seconds",
                retry_after_s=retry_after_s(self._queued_tokens, rate, jitter=jitter),
            )
        create_future = asyncio.get_running_loop().create_future
        items = [Item(window, at, create_future()) for at, window in enumerate(windows)]
        self._waiting.update(dict.fromkeys(items))
        self._queued_tokens += tokens
        self._arrival.set()
        return items

    def _forget(self, item: Item) -> None:
        if item in self._waiting:
            del self._waiting[item]
            self._queued_tokens -= item.num_tokens

    async def _schedule(self) -> None:
        while True:
            await self._slots.acquire()
            while not self._waiting:
                self._arrival.clear()
                await self._arrival.wait()
            batch = self._take()
            if self._in_flight == 0:
                self._progress_s = time.monotonic()
            self._in_flight += 1
            task = asyncio.create_task(self._execute(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _take(self) -> list[Item]:
        oldest = list(islice(self._waiting, LOOKAHEAD))
        chosen = take_batch(
            [item.num_tokens for item in oldest],
            max_batch_tokens=self.limits.max_batch_tokens,
            max_batch_items=self.limits.max_batch_items,
        )
        batch = [oldest[position] for position in chosen]
        for item in batch:
            self._forget(item)
        is_full = len(batch) == self.limits.max_batch_items
        reason = "full" if is_full else "budget" if self._waiting else "idle"
        self._metrics.dispatched[reason].inc()
        return batch

    async def _execute(self, batch: Sequence[Item]) -> None:
        loop = asyncio.get_running_loop()
        try:
            for item, outcome in await loop.run_in_executor(self._executor, self._work, batch):
                if outcome and not item.future.done():
                    item.future.set_result(outcome)
        except Exception:
            logger.exception("batch_failed")
        finally:
            for item in batch:
                if not item.future.done():
                    item.future.set_exception(InferenceFailed(item.position))
            self._in_flight -= 1
            self._progress_s = time.monotonic()
            self._slots.release()

    def _work(self, batch: Sequence[Item]) -> list[tuple[Item, Outcome | None]]:
        """Run a batch, on a thread of the executor."""
        # Prepared ahead: meanwhile a client may have left or a deadline passed.
        live = [item for item in batch if not item.future.done()]
        if not live:
            return []
        start = time.monotonic()
        outputs = run_isolated(
            self._run, [item.window for item in live], on_split=self._metrics.bisections.inc
        )
        seconds = time.monotonic() - start
        self._measure([item.num_tokens for item in live], seconds)
        return [
            (item, None if found is None else Outcome(found, start - item.admitted_s, seconds))
            for item, found in zip(live, outputs, strict=True)
        ]

    def _measure(self, lengths: Sequence[int], seconds: float) -> None:
        useful, padded = sum(lengths), max(lengths) * len(lengths)
        self._metrics.batch_items.observe(len(lengths))
        self._metrics.batch_padded_tokens.observe(padded)
        self._metrics.useful_tokens.inc(useful)
        self._metrics.padding_tokens.inc(padded - useful)
        latest, before = seconds / useful, self._seconds_per_token or seconds / useful
        self._seconds_per_token = before + RATE_SMOOTHING * (latest - before)

    def _on_scheduler_end(self, task: asyncio.Task[None]) -> None:
        if self._stopped is None:
            error = None if task.cancelled() else task.exception()
            logger.error("scheduler_died", extra={"error": type(error).__name__})
            detail = "the model's scheduler died; the service has to be restarted"
            self.stop("model_unavailable", detail)
