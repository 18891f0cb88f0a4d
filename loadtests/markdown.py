"""Pieces of a report in Markdown."""

from typing import Any


def table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def spread(values: dict[str, float] | None, *, decimals: int = 2) -> str:
    """Median and extremes; empty where nothing could be measured."""
    if values is None:
        return ""
    median, low, high = (f"{values[name]:.{decimals}f}" for name in ("median", "low", "high"))
    return f"{median} [{low} to {high}]"


def interval(values: dict[str, Any]) -> str:
    """Ratio and its interval; empty where nothing could be measured."""
    if values["ratio"] is None:
        return ""
    if values["low"] is None:
        return f"{values['ratio']:.2f}"
    return f"{values['ratio']:.2f} [{values['low']:.2f} to {values['high']:.2f}]"


def provenance(environment: dict[str, Any]) -> str:
    average = environment.get("load_average")
    busy = "" if average is None else f" (load average {average:.1f} at the end)"
    versions = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    return (
        f"{environment['cpu']}, {environment['cores']} cores{busy}, {environment['os']}; "
        f"Python {environment['python']}, {versions}; commit {environment['commit']}; "
        f"{environment['date']}; `{environment['command']}`.\n"
    )


def megabytes(values: dict[str, float]) -> str:
    """Spread of bytes, in MB."""
    return spread({name: value / 1e6 for name, value in values.items()}, decimals=0)


def milliseconds(value: float | None) -> str:
    """One decimal; empty where nothing could be measured."""
    return "" if value is None else f"{value:.1f}"
