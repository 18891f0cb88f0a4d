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

from app.batch_policy import JITTER, Limits, Speed, queue_bound_s, retry_after_s, take_batch
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores, Job
from app.errors import (
    DeadlineExceeded,
    InferenceFailed,
    QueueFull,
    Unavailable,
)
from app.isolation import Run, run_isolated
from app.items import Item, Outcome, Request
from app.metrics import ModelMetrics
from app.waiting import Line, Waiting

logger = logging.getLogger(__name__)

LOOKAHEAD = 128
"""Waiting items a batch is chosen from."""

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
        self._waiting = Waiting(limits, cores=cores.count)
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
        return sum(map(len, self._waiting.lines))

    @property
    def queued_tokens(self) -> int:
        """Tokens waiting, without padding."""
        return sum(line.tokens for line in self._waiting.lines)

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest short request has waited; 0 if none waits.

        Long ones wait for their turns by design.
        """
        with self._cores.lock:
            oldest = self._waiting.short.oldest()
        return time.monotonic() - oldest.request.admitted_s if oldest else 0.0

    @property
    def backlog_s(self) -> float:
        """Time to work off the short requests that wait, estimated from speed and fair shares."""
        return self._finish_s(self._waiting.short)

    @property
    def has_work(self) -> bool:
        """Whether something waits and may run."""
        return any(map(self._waiting.is_ready, self._waiting.lines))

    @property
    def waiting_s(self) -> float:
        """Core seconds of what waits, estimated."""
        return self.queued_tokens * self._speed.seconds_per_token

    def finish_s(self, tokens: int) -> float:
        """When a request of so many tokens would be done, estimated as `backlog_s`."""
        return self._finish_s(self._waiting.line_of(items=1, tokens=tokens), tokens)

    def refuse_if_full(self, *, items: int = 1, tokens: int = 1) -> None:
        """Refuse what `submit` would refuse anyway, before work is put into encoding it.

        Args:
            items: windows that the request can have at most.
            tokens: the same; what may be a long request is let through to `submit`.

        Raises:
            QueueFull: nothing is taken now.
            Unavailable: see `submit`.
        """
        if self._stopped:
            raise Unavailable(*self._stopped)
        short = self._waiting.short
        if self._waiting.line_of(items=items, tokens=tokens) is short:
            self._refuse_above_bounds(short, items=1, tokens=1)

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
        waiting = [item for line in self._waiting.lines for item in line.items()]
        self._forget(waiting)
        for item in waiting:
            item.fail(Unavailable(*self._stopped))
        for batcher in self._background:
            batcher.stop(code, detail)

    def learn_speed(self, tokens: int, seconds: float, *, batches: float = 1.0) -> None:
        """Count a batch, or a part of a full one, in the estimates."""
        with self._cores.lock:
            self._speed.learn(tokens, seconds, batches=batches)

    def abandon(self) -> None:
        """Stop, called on a thread of the cores: scheduling failed."""
        detail = "the model's scheduler died; the service has to be restarted"
        self._call_on_loop(partial(self.stop, "model_unavailable", detail))

    def take(self) -> Job | None:
        """Form the next batch, on the thread that will run it; None if nothing waits any more."""
        found = self._next()
        if found is None:
            return None
        line, oldest = found
        chosen = take_batch(
            [item.num_tokens for item in oldest],
            max_batch_tokens=line.max_batch_tokens,
            max_batch_items=self.limits.max_batch_items,
        )
        batch = [oldest[position] for position in chosen]
        is_full = len(batch) == self.limits.max_batch_items
        is_last = len(batch) == self.queued_items
        reason = "full" if is_full else "idle" if is_last else "budget"
        self._metrics.dispatched[reason].inc()
        tokens = sum(item.num_tokens for item in batch)
        # Only batches that others queue behind tell how fast a queue is worked off.
        work = partial(self._work, batch, line, learns=reason != "idle")
        job = Job(work, tokens * self._speed.seconds_per_token)
        # Last, so that no item is lost if forming the batch fails.
        self._waiting.start(line, batch)
        self._in_flight += 1
        return job

    def _admit(self, windows: Sequence[Window], deadline_s: float) -> list[Item]:
        tokens = sum(window.num_tokens for window in windows)
        create_future = self._loop.create_future
        with self._cores.lock:
            if self._stopped:
                raise Unavailable(*self._stopped)
            line = self._waiting.line_of(items=len(windows), tokens=tokens)
            self._refuse_above_bounds(line, items=len(windows), tokens=tokens)
            self._refuse_if_too_late(line, tokens, deadline_s)
            request = Request(deadline_s)
            items = [
                Item(window, at, create_future(), request) for at, window in enumerate(windows)
            ]
            if not self._in_flight and not self.queued_items:
                self._progress_s = time.monotonic()
            line.add(items)
            self._cores.wake(self)
        return items

    def _finish_s(self, line: Line, more: int = 0) -> float:
        """When a line will have been worked off, with these more tokens, if no more come."""
        tokens = self._waiting.tokens_until_done(line, more)
        return self._cores.finish_s(self, tokens * self._speed.seconds_per_token)

    def _refuse_above_bounds(self, line: Line, *, items: int, tokens: int) -> None:
        """Refuse what a line has no room for; an empty one takes anything.

        Long requests are not bounded in time, only by their deadlines: one alone is above it.
        """
        limits = self.limits
        with self._cores.lock:
            backlog_s = self._finish_s(line)
            bound_s = queue_bound_s(limits.max_queue_s, self._speed.seconds_per_batch)
            fits = (
                len(line) + items <= limits.max_queue_items
                and line.tokens + tokens <= limits.max_queue_tokens
                and (backlog_s <= bound_s or line is self._waiting.long)
            )
            if fits or not line:
                return
            waiting = f"{len(line)} windows with {line.tokens} tokens"
        raise QueueFull(
            f"{waiting} are waiting, about {backlog_s * 1000:.0f} ms of work, more do not fit; "
            "try again after Retry-After seconds",
            retry_after_s=retry_after_s(backlog_s, jitter=random.uniform(-JITTER, JITTER)),
        )

    def _refuse_if_too_late(self, line: Line, tokens: int, deadline_s: float) -> None:
        """Refuse what waits behind too much; an empty line is always worth a try."""
        needed_s = self._finish_s(line, tokens)
        left_s = deadline_s - time.monotonic()
        if line and needed_s > left_s:
            raise DeadlineExceeded(
                f"an answer would take about {needed_s * 1000:.0f} ms and the deadline is in "
                f"{left_s * 1000:.0f} ms; send less, allow more time, or try again later"
            )

    def _next(self) -> tuple[Line, list[Item]] | None:
        """The line whose turn it is, and its windows that a batch is chosen from."""
        while (line := self._waiting.next()) is not None:
            if oldest := self._drop_dead(line):
                return line, oldest
        return None

    def _drop_dead(self, line: Line) -> list[Item]:
        """What is next in a line and still wanted; fails what is past its deadline."""
        while oldest := line.next_items(LOOKAHEAD):
            now = time.monotonic()
            dead = [item for item in oldest if item.future.done() or item.request.deadline_s <= now]
            line.remove(dead)
            if not dead:
                return oldest
            self._call_on_loop(partial(self._fail_late, dead))
            if len(dead) < len(oldest):
                return [item for item in oldest if item in line]
        return []

    def _fail_late(self, items: Sequence[Item]) -> None:
        detail = "the deadline passed while the request waited; send less, or try again later"
        for item in items:
            item.fail(DeadlineExceeded(detail))

    def _forget(self, items: Sequence[Item]) -> None:
        with self._cores.lock:
            for line in self._waiting.lines:
                line.remove(items)

    def _work(self, batch: Sequence[Item], line: Line, *, learns: bool) -> None:
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
            part = line.max_batch_tokens / self.limits.max_batch_tokens
            self._measure([item.num_tokens for item in batch], seconds, batches=part * learns)
            with self._cores.lock:
                line.running -= 1
                # Another of its batches may run now.
                if self.is_alive and self.has_work:
                    self._cores.wake(self)
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
                item.answer(Outcome(found, start_s - item.request.admitted_s, seconds))
        with self._cores.lock:
            self._in_flight -= 1
            self._progress_s = time.monotonic()

    def _measure(self, lengths: Sequence[int], seconds: float, *, batches: float) -> None:
        """Count a batch; in the estimates as so much of a full one, or not at all."""
        useful, padded = sum(lengths), max(lengths) * len(lengths)
        self._metrics.batch_items.observe(len(lengths))
        self._metrics.batch_padded_tokens.observe(padded)
        self._metrics.useful_tokens.inc(useful)
        self._metrics.padding_tokens.inc(padded - useful)
        self._core_seconds.inc(seconds)
        if batches:
            self.learn_speed(useful, seconds, batches=batches)

    def _call_on_loop(self, callback: partial[None]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(callback)
