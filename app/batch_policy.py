"""What runs next and when to come back: the decisions of batching, without clock, loop or I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RETRY_AFTER_S = (1, 30)
JITTER = 0.2

SPEED_MEMORY = 0.95
"""What a batch's weight in the measured speed is multiplied by with each further batch."""

SEED_TOKENS, SEED_BATCHES = 1000, 4
"""Weight of the measurement at load: as much as a few batches of short texts."""

MIN_QUEUE_BATCHES = 6
"""So many times the duration of a batch may be waited for, however slow the model: a bound in time
alone would leave a slow one nothing to form batches from."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one model's batches and queue.

    Attributes:
        max_batch_tokens: padding included.
        max_batch_items: windows.
        max_queue_items: windows.
        max_queue_tokens: without padding.
        max_request_tokens: without padding, of all windows of one request.
        max_queue_s: time to work off what waits, above which nothing more is taken; see
            `queue_bound_s`.
    """

    max_batch_tokens: int
    max_batch_items: int
    max_queue_items: int
    max_queue_tokens: int
    max_request_tokens: int
    max_queue_s: float


class Speed:
    """Core seconds that a model takes for a token while requests queue up.

    The ratio of two fading sums: a batch counts by its size, and one that was held up moves the
    result by a twentieth.
    """

    def __init__(self, seconds_per_token: float) -> None:
        """Start from a measurement."""
        self._tokens = float(SEED_TOKENS)
        self._seconds = seconds_per_token * SEED_TOKENS
        self._batches = float(SEED_BATCHES)

    @property
    def seconds_per_token(self) -> float:
        """The estimate."""
        return self._seconds / self._tokens

    @property
    def seconds_per_batch(self) -> float:
        """Of the same batches."""
        return self._seconds / self._batches

    def learn(self, tokens: int, seconds: float, *, batches: float = 1.0) -> None:
        """Count a batch, or as much of a full one as it may hold."""
        self._tokens = SPEED_MEMORY * self._tokens + tokens
        self._seconds = SPEED_MEMORY * self._seconds + seconds
        self._batches = SPEED_MEMORY * self._batches + batches


def take_batch(lengths: Sequence[int], *, max_batch_tokens: int, max_batch_items: int) -> list[int]:
    """Choose what runs next: the oldest item, and those nearest to it in length that fit.

    The oldest always leaves, even alone above the budget, so nothing starves.

    >>> take_batch([10, 90, 11, 9], max_batch_tokens=40, max_batch_items=8)
    [0, 2, 3]

    Args:
        lengths: tokens of the waiting items, oldest first; at least one.
        max_batch_tokens: bound of longest * items.
        max_batch_items: bound of items.

    Returns:
        Positions in `lengths`; the first is 0.
    """
    anchor = longest = lengths[0]
    chosen = [0]
    for position in sorted(range(1, len(lengths)), key=lambda p: abs(lengths[p] - anchor)):
        longest = max(longest, lengths[position])
        too_long = longest * (len(chosen) + 1) > max_batch_tokens
        if too_long or len(chosen) >= max_batch_items:
            break
        chosen.append(position)
    return chosen


def queue_bound_s(max_queue_s: float, batch_s: float) -> float:
    """How long what waits may take to be worked off before nothing more is taken.

    Args:
        max_queue_s: as set.
        batch_s: duration of a batch.
    """
    return max(max_queue_s, MIN_QUEUE_BATCHES * batch_s)


def retry_after_s(backlog_s: float, *, jitter: float) -> int:
    """When a refused caller should come back: the time to work off the queue, in [1, 30] s.

    Args:
        backlog_s: estimated time to work off what waits now.
        jitter: relative change in [-0.2, 0.2] that keeps callers from returning all at once.
    """
    low, high = RETRY_AFTER_S
    seconds = min(high, math.ceil(backlog_s))
    return round(min(high, max(low, seconds * (1 + jitter))))
