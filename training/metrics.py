"""Scores with uncertainty; pure numpy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import Score

RESAMPLES = 2000
Span = tuple[str, int, int]
"""(type, start, end): equal only if boundary and type both agree."""


def span_counts(predicted: Sequence[set[Span]], gold: Sequence[set[Span]]) -> NDArray[np.int64]:
    """Per sentence (correct, predicted, gold) spans, shape (sentences, 3)."""
    return np.array(
        [(len(p & g), len(p), len(g)) for p, g in zip(predicted, gold, strict=True)], np.int64
    ).reshape(-1, 3)


def micro_f1(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Micro F1 = 2 * correct / (predicted + gold) over the last axis (0 where nothing is there).

    Args:
        counts: shape (..., 3): correct, predicted, gold.
    """
    total = counts[..., 1] + counts[..., 2]
    return np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), 0.0)


def strict_f1(predicted: Sequence[set[Span]], gold: Sequence[set[Span]], *, seed: int = 0) -> Score:
    """Strict span F1: boundary and type must be exact (the `strict` of the RONEC evaluator).

    The interval is a percentile bootstrap over sentences; n is the number of gold spans.
    """
    counts = span_counts(predicted, gold)
    totals = resampled_sums(counts, seed=seed)
    # A resample without a span of a rare type says nothing about it.
    told = totals[totals[:, 1] + totals[:, 2] > 0]
    low, high = np.percentile(micro_f1(told), [2.5, 97.5]) if len(told) else (0.0, 0.0)
    value = float(micro_f1(counts.sum(axis=0)))
    return Score(value=value, low=float(low), high=float(high), n=int(counts[:, 2].sum()))


def mean_score(
    values: NDArray[np.floating], groups: NDArray[np.integer], *, seed: int = 0
) -> Score:
    """Mean of `values` with a bootstrap interval over groups (sentences).

    Args:
        values: shape (items,).
        groups: sentence of each item, shape (items,), counted from 0 without gaps.
        seed: of the resampling.
    """
    sums = np.stack([np.bincount(groups, values), np.bincount(groups)], axis=1)
    totals = resampled_sums(sums, seed=seed)
    low, high = np.percentile(totals[:, 0] / np.maximum(totals[:, 1], 1), [2.5, 97.5])
    return Score(value=float(values.mean()), low=float(low), high=float(high), n=len(values))


def resampled_sums(rows: NDArray[np.generic], *, seed: int) -> NDArray[np.float64]:
    """Column sums of RESAMPLES bootstrap samples of the rows, shape (RESAMPLES, columns)."""
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES)
    return weights.astype(np.float64) @ rows.astype(np.float64)
