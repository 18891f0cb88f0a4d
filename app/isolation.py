"""A window that breaks the graph fails alone: its batch is split until it is found."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.contract.tokenization import Window

logger = logging.getLogger(__name__)

Logits = NDArray[np.floating]
Run = Callable[[Sequence[Window]], list[Logits]]
"""Windows to logits, one array of shape (length, labels) each; blocks, thread-safe."""


def run_isolated(
    run: Run, windows: Sequence[Window], *, on_split: Callable[[], None]
) -> list[Logits | None]:
    """Run a batch; if it fails, run its halves, until only guilty windows are left out.

    Returns:
        Per window its logits, or None if the graph fails on it or puts out infinite numbers.
    """
    try:
        outputs = run(windows)
    except Exception:
        if len(windows) == 1:
            logger.exception("inference_failed")
            return [None]
        on_split()
        middle = len(windows) // 2
        return [
            *run_isolated(run, windows[:middle], on_split=on_split),
            *run_isolated(run, windows[middle:], on_split=on_split),
        ]
    is_sound = [bool(np.isfinite(logits).all()) for logits in outputs]
    if not all(is_sound):
        logger.error("outputs_not_finite", extra={"windows": is_sound.count(False)})
    return [logits if sound else None for logits, sound in zip(outputs, is_sound, strict=True)]
