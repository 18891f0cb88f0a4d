"""Numbers out of the Prometheus text format."""

import re

SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def totals(exposition: str, name: str, *, by: str) -> dict[str, float]:
    """Sums of the samples of a name, by one of their labels.

    >>> totals('a_total{x="1",y="2"} 3.0\\na_total{x="2",y="2"} 4.0', "a_total", by="y")
    {'2': 7.0}
    """
    sums: dict[str, float] = {}
    for match in SAMPLE.finditer(exposition):
        if match["name"] == name:
            label = dict(LABEL.findall(match["labels"] or ""))[by]
            sums[label] = sums.get(label, 0.0) + float(match["value"])
    return sums


def total(exposition: str, name: str) -> float:
    """Sum of all samples of a name."""
    return sum(float(m["value"]) for m in SAMPLE.finditer(exposition) if m["name"] == name)
