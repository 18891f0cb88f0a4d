"""Numbers out of the Prometheus text format."""

import re
from collections.abc import Iterator

SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def samples(exposition: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of every sample of a name."""
    for match in SAMPLE.finditer(exposition):
        if match["name"] == name:
            yield dict(LABEL.findall(match["labels"] or "")), float(match["value"])


def totals(exposition: str, name: str, *, by: str) -> dict[str, float]:
    """Sums of the samples of a name, by one of their labels.

    >>> totals('a_total{x="1",y="2"} 3.0\\na_total{x="2",y="2"} 4.0', "a_total", by="y")
    {'2': 7.0}
    """
    sums: dict[str, float] = {}
    for labels, value in samples(exposition, name):
        sums[labels[by]] = sums.get(labels[by], 0.0) + value
    return sums


def total(exposition: str, name: str) -> float:
    """Sum of all samples of a name."""
    return sum(value for _, value in samples(exposition, name))
