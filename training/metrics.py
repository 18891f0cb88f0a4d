"""Scores with uncertainty; pure numpy."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import Score

Item = TypeVar("Item")
RESAMPLES = 2000
ROUNDING = 1e-14
"""Share of its size that a constant seems to vary by."""
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


def accuracy(
    predicted: Sequence[str],
    gold: Sequence[str],
    groups: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
) -> Score:
    """Share of items with the right label.

    Args:
        predicted: one label an item.
        gold: likewise.
        groups: see `mean_score`; items are independent of each other by default.
        seed: of the resampling.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    right = np.array([p == g for p, g in _pairs(predicted, gold)], np.float64)
    return mean_score(right, np.arange(len(right)) if groups is None else groups, seed=seed)


def macro_f1(
    predicted: Sequence[str],
    gold: Sequence[str],
    groups: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
) -> Score:
    """Mean of the labels' F1, over the labels that occur in gold or predictions.

    The interval is a percentile bootstrap over groups; a label that a resample lacks is left out of
    its mean.

    Args:
        predicted: one label an item.
        gold: likewise.
        groups: see `accuracy`.
        seed: of the resampling.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    pairs = _pairs(predicted, gold)
    units = np.arange(len(pairs)) if groups is None else groups
    index = {label: i for i, label in enumerate(sorted({*predicted, *gold}))}
    counts = np.zeros((int(units.max()) + 1, len(index), 3))
    for unit, (p, g) in zip(units, pairs, strict=True):
        counts[unit, index[p], 0] += p == g
        counts[unit, index[p], 1] += 1
        counts[unit, index[g], 2] += 1

    def mean_f1(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        occurs = (totals[..., 1] + totals[..., 2] > 0).sum(axis=-1)
        return micro_f1(totals).sum(axis=-1) / occurs

    sums = resampled_sums(counts.reshape(len(counts), -1), seed=seed).reshape(-1, len(index), 3)
    low, high = np.percentile(mean_f1(sums), [2.5, 97.5])
    value = float(mean_f1(counts.sum(axis=0)))
    return Score(value=value, low=float(low), high=float(high), n=len(pairs))


def pearson(predicted: NDArray[np.floating], gold: NDArray[np.floating], *, seed: int = 0) -> Score:
    """Pearson's correlation; the interval is a percentile bootstrap over pairs.

    Args:
        predicted: shape (pairs,).
        gold: same shape.
        seed: of the resampling.

    Returns:
        Value 0 where one side is constant: nothing is known then.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    return _correlation_score(predicted, gold, lambda values, _: values[None], seed)


def spearman(
    predicted: NDArray[np.floating], gold: NDArray[np.floating], *, seed: int = 0
) -> Score:
    """Spearman's correlation, Pearson's of the ranks (ties share their mean rank).

    Every resample is ranked anew. Arguments, return value and errors as in `pearson`.
    """
    return _correlation_score(predicted, gold, _ranks, seed)


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
    return resample_weights(len(rows), seed=seed) @ rows.astype(np.float64)


def resample_weights(rows: int, *, seed: int) -> NDArray[np.float64]:
    """How often each row is in each bootstrap sample, shape (RESAMPLES, rows)."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    return drawn.astype(np.float64)


def _pairs(predicted: Iterable[Item], gold: Iterable[Item]) -> list[tuple[Item, Item]]:
    pairs = list(zip(predicted, gold, strict=True))
    if not pairs:
        raise ValueError("nothing to measure")
    return pairs


def _ranks(values: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value in samples that hold it `weights` times, shape (samples, values)."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    # Of n equal values after k smaller ones, the mean rank is k + (n + 1) / 2.
    return (counts.cumsum(axis=1) - counts / 2 + 0.5)[:, group]


def _correlation_score(
    predicted: NDArray[np.floating],
    gold: NDArray[np.floating],
    view: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> Score:
    """Correlation of two views, which turn values and weights into shape (1 or samples, pairs)."""
    _pairs(predicted, gold)
    x, y = predicted.astype(np.float64), gold.astype(np.float64)

    def correlate(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _correlation(view(x, weights), view(y, weights), weights)

    value = float(correlate(np.ones((1, len(gold))))[0])
    # In slices, since a view may be as large as the weights.
    slices = np.array_split(resample_weights(len(gold), seed=seed), 20)
    told = np.concatenate([correlate(weights) for weights in slices])
    told = told[np.isfinite(told)]
    low, high = np.percentile(told, [2.5, 97.5]) if len(told) else (0.0, 0.0)
    known = value if np.isfinite(value) else 0.0
    return Score(value=known, low=float(low), high=float(high), n=len(gold))


def _correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted correlation over the last axis, NaN where a side is constant."""
    total = weights.sum(axis=-1, keepdims=True)
    size = np.sqrt((weights * x * x).sum(axis=-1) * (weights * y * y).sum(axis=-1))
    x = x - (weights * x).sum(axis=-1, keepdims=True) / total
    y = y - (weights * y).sum(axis=-1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=-1) * (weights * y * y).sum(axis=-1))
    varies = spread > ROUNDING * size
    return np.where(varies, (weights * x * y).sum(axis=-1) / np.where(varies, spread, 1), np.nan)
