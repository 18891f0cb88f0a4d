"""How long a model has taken lately."""

import math
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0
"""Older requests say nothing: load changes, and a slow minute must not count for ever."""

MAX_REQUESTS = 512
"""Of the window that are looked at, the latest."""

MIN_REQUESTS = 20
"""Of fewer the 95th percentile is the slowest, which one cold start decides."""


class RecentLatency:
    """Durations of a model's latest answers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """No request yet.

        Args:
            clock: seconds.
        """
        self._clock = clock
        self._requests: deque[tuple[float, float]] = deque(maxlen=MAX_REQUESTS)

    def observe(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self._requests.append((self._clock(), seconds))

    @property
    def p95_s(self) -> float | None:
        """95th percentile by nearest rank, seconds; None without enough recent requests."""
        since_s = self._clock() - WINDOW_S
        while self._requests and self._requests[0][0] < since_s:
            self._requests.popleft()
        if len(self._requests) < MIN_REQUESTS:
            return None
        seconds = sorted(seconds for _, seconds in self._requests)
        return seconds[math.ceil(0.95 * len(seconds)) - 1]
