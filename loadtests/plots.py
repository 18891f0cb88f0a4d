"""Pictures of a load test: how latencies are distributed, and how much is answered."""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

COLUMNS = 2
Rows = Sequence[dict[str, Any]]


def draw_latencies(rows: Rows, picture: Path) -> None:
    """Cumulative distributions, a panel for each task and load, the teacher dashed.

    Args:
        rows: of the report; those of a panel next to each other.
        picture: the PNG file to write.
    """
    panels = [(key, list(of)) for key, of in groupby(rows, lambda row: (row["task"], row["load"]))]
    figure, axes = _panels(len(panels))
    for axis, ((task, load), models) in zip(axes, panels, strict=False):
        for row in models:
            if row["cdf_ms"]:
                style = "--" if row["is_teacher"] else "-"
                steps = [at / (len(row["cdf_ms"]) - 1) for at in range(len(row["cdf_ms"]))]
                axis.plot(row["cdf_ms"], steps, style, label=row["model"], linewidth=1.3)
        axis.set_title(f"{task}, {load}", loc="left", fontsize=10)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("latency, ms", fontsize=8)
        axis.set_ylabel("share of requests", fontsize=8)
        axis.legend(fontsize=7, frameon=False, loc="lower right")
    figure.savefig(picture)


def draw_throughput(rows: Rows, ratios: Rows, picture: Path) -> None:
    """Inputs a second of every model under its heaviest closed loop; students with their factor."""
    closed = [row for row in rows if row["offered"]["users"]]
    panels = []
    for task, of_task in groupby(closed, lambda row: row["task"]):
        models = list(of_task)
        most = max(row["offered"]["users"] for row in models)
        panels.append((task, [row for row in models if row["offered"]["users"] == most]))
    factors = {(r["task"], r["model"], r["load"]): r["texts_per_s"]["ratio"] for r in ratios}
    figure, axes = _panels(len(panels))
    for axis, (task, models) in zip(axes, panels, strict=False):
        colors = ["0.6" if row["is_teacher"] else "C0" for row in models]
        names = [row["model"] for row in models]
        bars = axis.barh(names, [row["texts_per_s"] for row in models], color=colors)
        marks = [factors.get((task, row["model"], row["load"])) for row in models]
        axis.bar_label(bars, [f"{mark:.1f}x" if mark else "" for mark in marks], fontsize=8)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(f"{task}, {models[0]['load']}", loc="left", fontsize=10)
        axis.set_xlabel("inputs/s", fontsize=8)
    figure.savefig(picture)


def _panels(count: int) -> tuple[Figure, list[Any]]:
    rows = math.ceil(count / COLUMNS)
    figure = Figure(figsize=(11, 3 * rows), layout="constrained", dpi=80)
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes
