"""The cores that all models share: threads that take the next batch from whose turn it is."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from app.fairness import FairShare, finish_s

logger = logging.getLogger(__name__)

CORE_NICENESS = 5
"""Of threads that run models, above the event loop's: a third of its weight if all want a core."""


@dataclass(frozen=True, slots=True)
class Job:
    """One batch, ready to run.

    Attributes:
        run: runs it on the calling thread; raises nothing.
        expected_s: core seconds it will take, as far as is known.
    """

    run: Callable[[], None]
    expected_s: float


class Lane(Protocol):
    """A queue that wants cores; everything here is called with `Cores.lock` held."""

    @property
    def is_background(self) -> bool:
        """Whether it gets a core only when nothing else wants one."""

    @property
    def has_work(self) -> bool:
        """Whether something waits."""

    @property
    def waiting_s(self) -> float:
        """Core seconds of what waits, estimated."""

    def take(self) -> Job | None:
        """Form the next batch, on the thread that will run it; None if nothing waits any more."""

    def abandon(self) -> None:
        """Fail what waits: no core will come. Must not block."""


class Cores:
    """Threads, one a core, that serve lanes in equal shares of time.

    A batch is formed by the thread that runs it, when it runs it: none is prepared ahead that
    could have grown meanwhile, or whose callers could have left, and no core waits for the event
    loop between two batches.
    """

    def __init__(self, count: int) -> None:
        """Start no thread yet.

        Args:
            count: of cores.
        """
        self.count = count
        self.lock = threading.RLock()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="core", initializer=_give_way)
        self._busy = 0
        self._lanes: dict[Lane, None] = {}
        self._normal: FairShare[Lane] = FairShare()
        self._background: FairShare[Lane] = FairShare()

    def join(self, lane: Lane) -> None:
        """Serve a lane from now on."""
        with self.lock:
            self._lanes[lane] = None

    def leave(self, lane: Lane) -> None:
        """Serve a lane no more; its batch that runs ends."""
        with self.lock:
            self._lanes.pop(lane, None)
            self._share(lane).leave(lane)

    def wake(self, lane: Lane) -> None:
        """Note that a lane has work."""
        with self.lock:
            self._share(lane).wake(lane)
            self._employ()

    def finish_s(self, lane: Lane, own_s: float) -> float:
        """When a lane will be done with this many core seconds, if no more arrives."""
        with self.lock:
            others_s = [
                other.waiting_s
                for other in self._lanes
                if other is not lane and not other.is_background
            ]
        return finish_s(own_s, others_s, cores=self.count)

    def close(self) -> None:
        """Release the threads; running batches end first."""
        self._threads.shutdown(cancel_futures=True)

    def _share(self, lane: Lane) -> FairShare[Lane]:
        return self._background if lane.is_background else self._normal

    def _employ(self) -> None:
        """Put one more idle thread to work if there is some."""
        if self._busy < self.count and (self._normal or self._background):
            self._busy += 1
            self._threads.submit(self._serve)

    def _serve(self) -> None:
        """Run batches until nothing waits; on a thread of the pool."""
        try:
            while granted := self._grant():
                lane, job = granted
                start = time.monotonic()
                job.run()
                with self.lock:
                    self._share(lane).charge(lane, time.monotonic() - start - job.expected_s)
        except BaseException as error:
            # Not a fault of one batch, which its lane would have caught: scheduling itself failed.
            logger.exception("dispatcher_died", extra={"error": type(error).__name__})
            with self.lock:
                self._busy -= 1
                for lane in list(self._lanes):
                    self._drop(lane)

    def _grant(self) -> tuple[Lane, Job] | None:
        with self.lock:
            for share in (self._normal, self._background):
                while lane := share.next():
                    job = self._take(lane)
                    if job is None or not lane.has_work:
                        share.rest(lane)
                    if job:
                        share.charge(lane, job.expected_s)
                        self._employ()
                        return lane, job
            self._busy -= 1
            return None

    def _take(self, lane: Lane) -> Job | None:
        try:
            return lane.take()
        except Exception as error:
            logger.exception("scheduler_died", extra={"error": type(error).__name__})
            self._drop(lane)
            return None

    def _drop(self, lane: Lane) -> None:
        self.leave(lane)
        lane.abandon()


def _give_way() -> None:
    """Let the event loop have a core whenever it wants one.

    It wants little, but under overload it has to refuse what it cannot do, and soon.
    """
    if sys.platform == "linux":  # where threads have priorities of their own
        with suppress(OSError):  # a sandbox may forbid even this
            thread = threading.get_native_id()
            niceness = os.getpriority(os.PRIO_PROCESS, thread) + CORE_NICENESS
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
