"""How loyal a student is to its teacher, whatever the gold labels say (Xu et al. 2021)."""

import math

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import Score
from training.metrics import mean_score

Probabilities = NDArray[np.floating]


def label_loyalty(teacher: Probabilities, student: Probabilities, groups: NDArray) -> Score:
    """Share of items whose most probable label is the same.

    Args:
        teacher: shape (items, labels).
        student: same shape.
        groups: sentence of each item, shape (items,), for the interval.
    """
    same = teacher.argmax(axis=-1) == student.argmax(axis=-1)
    return mean_score(same.astype(np.float64), groups)


def probability_loyalty(
    teacher: Probabilities, student: Probabilities, groups: NDArray, *, base: float = math.e
) -> Score:
    """Mean of 1 - sqrt(Jensen-Shannon divergence).

    With base e the value lies in [1 - sqrt(ln 2), 1] = [0.167, 1], with base 2 in [0, 1].

    Args:
        teacher: shape (items, labels), rows sum to 1.
        student: same shape.
        groups: see `label_loyalty`.
        base: of the logarithm.
    """
    distance = np.sqrt(jensen_shannon(teacher, student) / math.log(base))
    return mean_score(1 - distance, groups)


def jensen_shannon(p: Probabilities, q: Probabilities) -> NDArray[np.float64]:
    """Divergence in nats over the last axis: (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2."""
    first, second = p.astype(np.float64), q.astype(np.float64)
    middle = (first + second) / 2

    def divergence(a: NDArray[np.float64]) -> NDArray[np.float64]:
        safe = np.where(a > 0, a / np.where(middle > 0, middle, 1), 1.0)
        return (a * np.log(safe)).sum(axis=-1)

    return np.maximum((divergence(first) + divergence(second)) / 2, 0.0)
