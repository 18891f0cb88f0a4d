"""A window that breaks the graph fails alone: its batch is split until it is found."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from app.contract.encoded_text import Window, WindowOutputs

logger = logging.getLogger(__name__)

Run = Callable[[Sequence[Window]], list[WindowOutputs]]
"""Windows to their outputs; blocks, thread-safe."""


def run_isolated(
    run: Run, windows: Sequence[Window], *, on_split: Callable[[], None]
) -> list[WindowOutputs | None]:
    """Run a batch; if it fails, run its halves, until only guilty windows are left out.

    Returns:
        Per window its outputs, or None if the graph fails on it or puts out infinite numbers.
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
    is_sound = [all(np.isfinite(a).all() for a in output.values()) for output in outputs]
    if not all(is_sound):
        logger.error("outputs_not_finite", extra={"windows": is_sound.count(False)})
    return [output if sound else None for output, sound in zip(outputs, is_sound, strict=True)]
