"""What a report says about samples: percentiles, spreads, shares, comparisons of series."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

PERCENTILES = (50, 95, 99)
STATUSES = {200: "ok", 429: "refused", 504: "late"}
"""What the statuses of a reply count as; everything else is "other", 0 for no reply included."""


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99 in milliseconds; None of nothing.

    >>> percentiles_ms([0.001, 0.002, 0.003])["p50_ms"]
    2.0
    """
    names = [f"p{percent}_ms" for percent in PERCENTILES]
    if not seconds:
        return dict.fromkeys(names)
    return dict(zip(names, (np.percentile(seconds, PERCENTILES) * 1000).tolist(), strict=True))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float] | None:
    """Spread of the ratios of two series, repetition by repetition; None where one measured 0."""
    if not numerators or 0 in denominators:
        return None
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def shares(statuses: Sequence[int]) -> dict[str, float]:
    """Part of the requests that was answered, refused, late, or met with something else.

    >>> shares([200, 200, 429, 500])
    {'ok': 0.5, 'refused': 0.25, 'late': 0.0, 'other': 0.25}
    """
    counts = Counter(STATUSES.get(status, "other") for status in statuses)
    return {name: counts[name] / (len(statuses) or 1) for name in (*STATUSES.values(), "other")}


def growth(values: Sequence[float]) -> float:
    """Median of the last third over median of the first third, minus 1.

    >>> round(growth([100, 100, 100, 101, 103, 102, 104, 105, 106]), 3)
    0.05

    Raises:
        ValueError: fewer than three values.
    """
    third = len(values) // 3
    if third == 0:
        raise ValueError(f"thirds need at least 3 values, got {len(values)}")
    return statistics.median(values[-third:]) / statistics.median(values[:third]) - 1


def differences(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Growth of counters; those that did not exist before began at 0."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}
