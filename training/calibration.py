"""Temperature and threshold of a student that may ask its teacher; pure numpy.

The temperature makes the student's probabilities those of the teacher saying the same (Guo et al.
2017, with the teacher's labels for gold). The threshold is the lowest that keeps the cascade loyal.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import Score
from training.metrics import mean_score

TEMPERATURES = (0.05, 20.0)
"""A student that always agrees would become infinitely sure, one that never does the contrary."""

QUANTILE_95 = 1.959964
"""Of the normal distribution, two-sided."""

Labelled = tuple[NDArray[np.floating], NDArray[np.integer]]
"""Logits of a student, shape (decisions, labels), and the teacher's labels, shape (decisions,)."""


def label_temperature(outputs: Sequence[Labelled]) -> float:
    """The temperature with the least negative log-likelihood of the teacher's labels.

    Args:
        outputs: one entry an output of the graph.
    """
    shifted = [
        (z.astype(np.float64) - z.max(axis=-1, keepdims=True), np.arange(len(z)), labels)
        for z, labels in outputs
    ]

    def loss(temperature: float) -> float:
        return sum(
            float((np.log(np.exp(z / temperature).sum(axis=-1)) - z[rows, y] / temperature).sum())
            for z, rows, y in shifted
        )

    return _minimum(loss)


def agreement_temperature(
    confidence: Callable[[float], NDArray[np.floating]], agrees: NDArray[np.bool_]
) -> float:
    """The temperature with the least negative log-likelihood of agreeing; for spans of text.

    Args:
        confidence: takes a temperature and gives the confidence in each answer, shape (inputs,).
        agrees: whether the teacher gives the same answer, shape (inputs,).
    """

    def loss(temperature: float) -> float:
        sure = np.clip(confidence(temperature), 1e-9, 1 - 1e-9)
        return -float(np.log(np.where(agrees, sure, 1 - sure)).sum())

    return _minimum(loss)


@dataclass(frozen=True, slots=True)
class Agreements:
    """A student and its teacher on some inputs; every array has shape (inputs,).

    Attributes:
        confidence: of the student in its whole answer.
        compared: decisions that were compared.
        equal: those of them on which both say the same.
        groups: inputs that stand or fall together, counted from 0 without gaps.
    """

    confidence: NDArray[np.floating]
    compared: NDArray[np.integer]
    equal: NDArray[np.integer]
    groups: NDArray[np.integer]

    def loyalty(self, threshold: float) -> Score:
        """Label loyalty to the teacher, who answers where confidence is below the threshold."""
        asked = self.confidence < threshold
        equal = np.where(asked, self.compared, self.equal)
        counts = np.stack([equal, self.compared - equal], axis=1).ravel()
        flags = np.repeat(np.tile([1.0, 0.0], len(equal)), counts)
        return mean_score(flags, np.repeat(self.groups, self.compared))

    def escalation(self, threshold: float) -> Score:
        """Share of inputs that the teacher answers."""
        return mean_score((self.confidence < threshold).astype(np.float64), self.groups)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, and what it was chosen by.

    Attributes:
        value: in [0, 1].
        by: "lower end" of the 95 % interval, or the "point estimate" where even perfect agreement
            on so few decisions would not lift the lower end to the target.
    """

    value: float
    by: str


def fit_threshold(fitting: Agreements, target: float) -> Threshold | None:
    """The lowest threshold with which the cascade reaches its target.

    The lower end is that of the bootstrap over groups or of Wilson's interval, whichever is lower:
    the bootstrap knows that the words of a sentence fail together, Wilson knows that no failure
    among n is no proof.

    Returns:
        None if only asking the teacher about everything would reach it.
    """
    by_count = wilson_low(1.0, int(fitting.compared.sum())) >= target

    def reached(threshold: float) -> bool:
        score = fitting.loyalty(threshold)
        low = min(score.low, wilson_low(score.value, score.n))
        return (low if by_count else score.value) >= target

    candidates = _between(np.unique(fitting.confidence))
    # Whoever asks more is at least as loyal, in every resample too.
    at = bisect_left(candidates, True, key=reached)
    if at == len(candidates):
        return None
    return Threshold(candidates[at], "lower end" if by_count else "point estimate")


def wilson_low(share: float, n: int) -> float:
    """Lower end of Wilson's 95 % interval for a share of n."""
    z = QUANTILE_95**2 / n
    spread = math.sqrt(share * (1 - share) / n * QUANTILE_95**2 + z**2 / 4)
    return (share + z / 2 - spread) / (1 + z)


def _between(sure: NDArray[np.floating]) -> list[float]:
    """0, and a number between any two neighbours, so that rounding changes no decision."""
    found = [0.0]
    for low, high in zip(sure[:-1].tolist(), sure[1:].tolist(), strict=True):
        middle = (low + high) / 2
        found.append(middle if middle > low else high)
    return found


def _minimum(loss: Callable[[float], float], steps: int = 60) -> float:
    """Where a loss with one valley over log temperature is least (golden section)."""
    low, high = (math.log(bound) for bound in TEMPERATURES)
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(math.exp(left)), loss(math.exp(right))
    for _ in range(steps):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(math.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(math.exp(right))
    return math.exp((low + high) / 2)
