"""What a report says about samples: percentiles, spreads, shares, comparisons of series."""

import math
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


T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Student's t, two-sided 95 %, for 1, 2, ... degrees of freedom."""


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float]
) -> dict[str, float | None]:
    """Geometric mean of paired ratios with its 95 % interval (Student's t on their logarithms).

    >>> ratio_interval([2.0, 4.0], [1.0, 2.0])
    {'ratio': 2.0, 'low': 2.0, 'high': 2.0, 'n': 2}

    Args:
        numerators: one a repetition.
        denominators: of the same repetitions.

    Returns:
        `ratio`, `low`, `high`, `n`; without an interval for one pair, all None for none.
    """
    pairs = zip(numerators, denominators, strict=True)
    logs = [math.log(a / b) for a, b in pairs if a > 0 and b > 0]
    if not logs:
        return {"ratio": None, "low": None, "high": None, "n": 0}
    mean = statistics.fmean(logs)
    low = high = None
    if len(logs) > 1:
        t = T_95[min(len(logs) - 1, len(T_95)) - 1]
        margin = t * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high = math.exp(mean - margin), math.exp(mean + margin)
    return {"ratio": math.exp(mean), "low": low, "high": high, "n": len(logs)}


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
