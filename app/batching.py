"""Token-budget batching: the queue of one loaded model.

There is no timer: a batch is what has queued up when a core takes it.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

from app.batch_policy import JITTER, Limits, Speed, queue_bound_s, retry_after_s, take_batch
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores, Job
from app.errors import (
    DeadlineExceeded,
    Fault,
    InferenceFailed,
    QueueFull,
    RequestError,
    Unavailable,
)
from app.isolation import Run, run_isolated
from app.items import Item, Outcome
from app.metrics import ModelMetrics

logger = logging.getLogger(__name__)

LOOKAHEAD = 128
"""Oldest waiting items a batch is chosen from."""

STUCK_S = 30.0
"""A batch that runs longer than this will not come back."""


class Batcher:
    """The queue of one model, a `Lane` of the cores.

    Items are admitted and answered on the event loop, and taken on the threads of the cores;
    what both sides touch is guarded by `Cores.lock`.
    """

    def __init__(
        self,
        run: Run,
        cores: Cores,
        *,
        limits: Limits,
        metrics: ModelMetrics,
        seconds_per_token: float,
        is_background: bool = False,
    ) -> None:
        """Start; needs a running event loop.

        Args:
            run: called on threads of `cores`.
            cores: shared by all models.
            limits: of batches and queue.
            metrics: of this model.
            seconds_per_token: core time, measured at warm-up.
            is_background: run only when no core is wanted otherwise.
        """
        self.limits = limits
        self.is_background = is_background
        self._run = run
        self._cores = cores
        self._metrics = metrics
        self._core_seconds = metrics.core_seconds["background" if is_background else "normal"]
        self._speed = Speed(seconds_per_token)
        # A dict keeps arrival order and gives items up in constant time.
        self._waiting: dict[Item, None] = {}
        self._queued_tokens = 0
        self._in_flight = 0
        self._progress_s = time.monotonic()
        self._stopped: tuple[str, str] | None = None
        self._loop = asyncio.get_running_loop()
        self._background: list[Batcher] = []
        cores.join(self)

    def background(self, *, max_queue_items: int) -> "Batcher":
        """A second queue for the same graph that gets a core only when nothing else wants one.

        It stops with this one, and when it is full, it refuses and nothing else suffers.
        """
        limits = replace(self.limits, max_queue_items=max_queue_items, max_queue_s=math.inf)
        batcher = Batcher(
            self._run,
            self._cores,
            limits=limits,
            metrics=self._metrics,
            seconds_per_token=self._speed.seconds_per_token,
            is_background=True,
        )
        self._background.append(batcher)
        return batcher

    @property
    def is_alive(self) -> bool:
        """Whether it takes requests."""
        return self._stopped is None

    @property
    def is_stuck(self) -> bool:
        """Whether there is work and none of it has moved for STUCK_S."""
        has_work = self._in_flight > 0 or self.has_work
        return has_work and time.monotonic() - self._progress_s > STUCK_S

    @property
    def batches_in_flight(self) -> int:
        """Batches that run."""
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
        with self._cores.lock:
            oldest = next(iter(self._waiting), None)
        return time.monotonic() - oldest.admitted_s if oldest else 0.0

    @property
    def backlog_s(self) -> float:
        """Time to work off what waits, estimated from measured speed and a fair share of cores."""
        return self._cores.finish_s(self, self.waiting_s)

    @property
    def has_work(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    @property
    def waiting_s(self) -> float:
        """Core seconds of what waits, estimated."""
        return self._queued_tokens * self._speed.seconds_per_token

    def finish_s(self, tokens: int) -> float:
        """When so many more tokens would be done, estimated as `backlog_s`."""
        work_s = (self._queued_tokens + tokens) * self._speed.seconds_per_token
        return self._cores.finish_s(self, work_s)

    def refuse_if_full(self) -> None:
        """Refuse what `submit` would refuse anyway, before work is put into encoding it.

        Raises:
            QueueFull: nothing is taken now.
            Unavailable: see `submit`.
        """
        if self._stopped:
            raise Unavailable(*self._stopped)
        self._refuse_above_bounds(items=1, tokens=1)

    async def submit(
        self, windows: Sequence[Window], *, deadline_s: float | None = None
    ) -> list[Outcome]:
        """Queue the windows of one request, all or none, and wait for them.

        Cancelling the call gives up what is still waiting.

        Args:
            windows: of one request.
            deadline_s: monotonic time after which the answer is worth nothing.

        Raises:
            QueueFull: they do not fit now.
            DeadlineExceeded: they cannot be answered in time, or were not.
            RequestError: they would not fit into an empty queue.
            InferenceFailed: the graph failed on one of them.
            Unavailable: the scheduler is gone, or shutdown cut the wait short.
        """
        items = self._admit(windows, math.inf if deadline_s is None else deadline_s)
        try:
            return await asyncio.gather(*(item.future for item in items))
        finally:
            for item in items:
                item.future.cancel()
            self._forget(items)

    def stop(self, code: str, detail: str) -> None:
        """Take nothing more and fail what waits, as unavailable with this code and detail."""
        self._cores.leave(self)
        self._stopped = self._stopped or (code, detail)
        waiting = list(self._waiting)
        self._forget(waiting)
        for item in waiting:
            item.fail(Unavailable(*self._stopped))
        for batcher in self._background:
            batcher.stop(code, detail)

    def learn_speed(self, tokens: int, seconds: float) -> None:
        """Count a batch in the estimates."""
        with self._cores.lock:
            self._speed.learn(tokens, seconds)

    def abandon(self) -> None:
        """Stop, called on a thread of the cores: scheduling failed."""
        detail = "the model's scheduler died; the service has to be restarted"
        self._call_on_loop(partial(self.stop, "model_unavailable", detail))

    def take(self) -> Job | None:
        """Form the next batch, on the thread that will run it; None if nothing waits any more."""
        oldest = self._drop_dead()
        if not oldest:
            return None
        chosen = take_batch(
            [item.num_tokens for item in oldest],
            max_batch_tokens=self.limits.max_batch_tokens,
            max_batch_items=self.limits.max_batch_items,
        )
        batch = [oldest[position] for position in chosen]
        is_full = len(batch) == self.limits.max_batch_items
        is_last = len(batch) == len(self._waiting)
        reason = "full" if is_full else "idle" if is_last else "budget"
        self._metrics.dispatched[reason].inc()
        tokens = sum(item.num_tokens for item in batch)
        # Only batches that others queue behind tell how fast a queue is worked off.
        work = partial(self._work, batch, learns=reason != "idle")
        job = Job(work, tokens * self._speed.seconds_per_token)
        # Last, so that no item is lost if forming the batch fails.
        self._forget(batch)
        self._in_flight += 1
        return job

    def _admit(self, windows: Sequence[Window], deadline_s: float) -> list[Item]:
        tokens = sum(window.num_tokens for window in windows)
        limits = self.limits
        if len(windows) > limits.max_queue_items or tokens > limits.max_queue_tokens:
            detail = (
                f"the inputs make {len(windows)} windows with {tokens} tokens, at most "
                f"{limits.max_queue_items} windows with {limits.max_queue_tokens} tokens are "
                "taken in one request; send fewer inputs"
            )
            raise RequestError(Fault("request_too_long", detail, field="inputs"))
        create_future = self._loop.create_future
        with self._cores.lock:
            if self._stopped:
                raise Unavailable(*self._stopped)
            self._refuse_above_bounds(items=len(windows), tokens=tokens)
            self._refuse_if_too_late(tokens, deadline_s)
            items = [
                Item(window, at, create_future(), deadline_s) for at, window in enumerate(windows)
            ]
            if not self._in_flight and not self._waiting:
                self._progress_s = time.monotonic()
            self._waiting.update(dict.fromkeys(items))
            self._queued_tokens += tokens
            self._cores.wake(self)
        return items

    def _refuse_above_bounds(self, *, items: int, tokens: int) -> None:
        limits = self.limits
        with self._cores.lock:
            backlog_s = self.backlog_s
            bound_s = queue_bound_s(limits.max_queue_s, self._speed.seconds_per_batch)
            fits = (
                len(self._waiting) + items <= limits.max_queue_items
                and self._queued_tokens + tokens <= limits.max_queue_tokens
                and backlog_s <= bound_s
            )
            if fits or not self._waiting:
                return
            waiting = f"{len(self._waiting)} windows with {self._queued_tokens} tokens"
        raise QueueFull(
            f"{waiting} are waiting, about {backlog_s * 1000:.0f} ms of work, more do not fit; "
            "try again after Retry-After seconds",
            retry_after_s=retry_after_s(backlog_s, jitter=random.uniform(-JITTER, JITTER)),
        )

    def _refuse_if_too_late(self, tokens: int, deadline_s: float) -> None:
        """Refuse what waits behind too much; an empty queue is always worth a try."""
        needed_s = self.finish_s(tokens)
        left_s = deadline_s - time.monotonic()
        if self._waiting and needed_s > left_s:
            raise DeadlineExceeded(
                f"an answer would take about {needed_s * 1000:.0f} ms and the deadline is in "
                f"{left_s * 1000:.0f} ms; send less, allow more time, or try again later"
            )

    def _drop_dead(self) -> list[Item]:
        """The oldest waiting items that somebody still wants; fails those past their deadline."""
        while oldest := list(islice(self._waiting, LOOKAHEAD)):
            now = time.monotonic()
            dead = [item for item in oldest if item.future.done() or item.deadline_s <= now]
            self._forget(dead)
            if not dead:
                return oldest
            self._call_on_loop(partial(self._fail_late, dead))
            if len(dead) < len(oldest):
                return [item for item in oldest if item in self._waiting]
        return []

    def _fail_late(self, items: Sequence[Item]) -> None:
        detail = "the deadline passed while the request waited; send less, or try again later"
        for item in items:
            item.fail(DeadlineExceeded(detail))

    def _forget(self, items: Sequence[Item]) -> None:
        with self._cores.lock:
            for item in items:
                if item in self._waiting:
                    del self._waiting[item]
                    self._queued_tokens -= item.num_tokens

    def _work(self, batch: Sequence[Item], *, learns: bool) -> None:
        """Run a batch, on a thread of the cores."""
        start = time.monotonic()
        outputs: Sequence[WindowOutputs | None] = [None] * len(batch)
        try:
            outputs = run_isolated(
                self._run, [item.window for item in batch], on_split=self._metrics.bisections.inc
            )
        except Exception:
            logger.exception("batch_failed")
        finally:
            seconds = time.monotonic() - start
            self._measure([item.num_tokens for item in batch], seconds, learns=learns)
            self._call_on_loop(partial(self._answer, batch, outputs, start, seconds))

    def _answer(
        self,
        batch: Sequence[Item],
        outputs: Sequence[WindowOutputs | None],
        start_s: float,
        seconds: float,
    ) -> None:
        for item, found in zip(batch, outputs, strict=True):
            if found is None:
                item.fail(InferenceFailed(item.position))
            else:
                item.answer(Outcome(found, start_s - item.admitted_s, seconds))
        with self._cores.lock:
            self._in_flight -= 1
            self._progress_s = time.monotonic()

    def _measure(self, lengths: Sequence[int], seconds: float, *, learns: bool) -> None:
        useful, padded = sum(lengths), max(lengths) * len(lengths)
        self._metrics.batch_items.observe(len(lengths))
        self._metrics.batch_padded_tokens.observe(padded)
        self._metrics.useful_tokens.inc(useful)
        self._metrics.padding_tokens.inc(padded - useful)
        self._core_seconds.inc(seconds)
        if learns:
            self.learn_speed(useful, seconds)

    def _call_on_loop(self, callback: partial[None]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(callback)
