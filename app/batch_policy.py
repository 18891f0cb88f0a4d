"""What runs next and when to come back: the decisions of batching, without clock, loop or I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RETRY_AFTER_S = (1, 30)
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one model's batches and queue; tokens of a batch include padding."""

    max_batch_tokens: int
    max_batch_items: int
    max_queue_items: int
    max_queue_tokens: int


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


def retry_after_s(queued_tokens: int, tokens_per_s: float, *, jitter: float) -> int:
    """When a refused caller should come back: the time to work off the queue, in [1, 30] s.

    Args:
        queued_tokens: waiting now.
        tokens_per_s: measured speed; 0 if nothing ran yet.
        jitter: relative change in [-0.2, 0.2] that keeps callers from returning all at once.
    """
    low, high = RETRY_AFTER_S
    seconds = math.ceil(queued_tokens / tokens_per_s) if tokens_per_s > 0 else low
    return round(min(high, max(low, min(high, seconds) * (1 + jitter))))
