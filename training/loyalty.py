"""Loyalty over a corpus, with intervals; app.contract.loyalty has it for one input."""

import math

import numpy as np
from numpy.typing import NDArray

from app.contract.loyalty import Probabilities, distances, same_labels
from app.contract.manifest import Score
from training.metrics import mean_score, pearson


def label_loyalty(teacher: Probabilities, student: Probabilities, groups: NDArray) -> Score:
    """Share of items whose most probable label is the same.

    Args:
        teacher: shape (items, labels).
        student: same shape.
        groups: sentence of each item, shape (items,), for the interval.
    """
    return mean_score(same_labels(student, teacher).astype(np.float64), groups)


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
    distance = distances(teacher, student) / math.sqrt(math.log(base))
    return mean_score(1 - distance, groups)


def regression_loyalty(
    teacher: NDArray[np.floating], student: NDArray[np.floating]
) -> dict[str, Score]:
    """Agreement of values in [0, 1]: Pearson's correlation, and 1 - mean |y_t - y_s|.

    Both are ours: Avram et al. (2022) introduce a regression loyalty whose formula we could not
    read.

    Args:
        teacher: shape (items,).
        student: same shape.
    """
    items = np.arange(len(teacher))
    return {
        "regression_loyalty_pearson": pearson(student, teacher),
        "regression_loyalty": mean_score(1 - np.abs(teacher - student), items),
    }
