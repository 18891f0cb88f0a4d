"""Two pictures of a comparison, one panel a task: loyalty against speed, score against size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib import lines, pyplot, ticker
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from training.compare import Row, Run

matplotlib.use("Agg")
# Okabe and Ito's colours, told apart by the colour-blind; shape and filling say the same again.
COLOURS = {"teacher": "#0072B2", "student": "#D55E00"}
SHAPES = {"teacher": "s", "student": "o"}
PLACES = [(x, y) for y in (0, 13, -13, 26, -26, 39, -39) for x in (9, -9)]
"""Where a name may stand, points from its point; the first free one is taken."""
TICKS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Point:
    """A row in a panel.

    Attributes:
        row: what it shows.
        x: horizontally.
        score: value, low and high, vertically.
    """

    row: Row
    x: float
    score: dict[str, float]


def plot_loyalty(path: Path, runs: Sequence[Run]) -> None:
    """How loyal students are to their first teachers, against how much faster they are."""

    def points(rows: Sequence[Row]) -> tuple[str, list[Point]]:
        measure = next((m for row in rows for m in _first_loyalty(row)), "loyalty")
        whole = {"value": 1.0, "low": 1.0, "high": 1.0}
        return measure, [
            Point(row, row.speed["32"]["ratio"], _first_loyalty(row).get(measure, whole))
            for row in rows
            if row.kind == "student" or not row.loyalty
        ]

    _plot(path, runs, points, "times as fast as the first teacher (batch 32, one thread)")


def plot_size(path: Path, runs: Sequence[Run]) -> None:
    """The first score of each model against the size of its file."""

    def points(rows: Sequence[Row]) -> tuple[str, list[Point]]:
        measure = next(iter(rows[0].quality))
        scored = [row for row in rows if measure in row.quality]
        return measure, [Point(row, row.bytes / 1e6, row.quality[measure]) for row in scored]

    _plot(path, runs, points, "file, MB")


def _first_loyalty(row: Row) -> dict[str, dict[str, float]]:
    return next(iter(row.loyalty.values()), {})


def _plot(
    path: Path,
    runs: Sequence[Run],
    points: Callable[[Sequence[Row]], tuple[str, list[Point]]],
    across: str,
) -> None:
    tasks = [
        (task, [row for run in of_task for row in run.rows])
        for task, of_task in groupby(runs, key=lambda run: run.task)
    ]
    wide = min(2, len(tasks))
    high = -(-len(tasks) // wide)
    figure, axes = pyplot.subplots(
        high, wide, figsize=(7.5 * wide, 5 * high), layout="constrained", squeeze=False
    )
    figure.legend(handles=_legend(), loc="outside upper center", ncols=4, frameon=False)
    for axis in axes.flat[len(tasks) :]:
        axis.remove()
    for axis, (task, rows) in zip(axes.flat, tasks, strict=False):
        measure, shown = points(rows)
        for point in shown:
            _draw(axis, point)
        axis.set(title=task, xlabel=across, ylabel=f"{measure}, 95 % interval", xscale="log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=TICKS))
        axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.margins(0.35, 0.15)
        axis.grid(alpha=0.25)
    figure.draw_without_rendering()  # constrained layout moves the panels, so labels come after it
    for axis, (_, rows) in zip(axes.flat, tasks, strict=False):
        _label(axis, points(rows)[1])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _legend() -> list[lines.Line2D]:
    return [
        lines.Line2D([], [], linestyle="", label=f"{kind}, {name}", **_style(kind, filled=filled))
        for kind in COLOURS
        for name, filled in (("fp32", False), ("as served", True))
    ]


def _style(kind: str, *, filled: bool) -> dict[str, str | float]:
    colour = COLOURS[kind]
    return {
        "marker": SHAPES[kind],
        "color": colour,
        "markerfacecolor": colour if filled else "white",
        "markersize": 8,
    }


def _draw(axis: Axes, point: Point) -> None:
    value = point.score["value"]
    error = [[max(0.0, value - point.score["low"])], [max(0.0, point.score["high"] - value)]]
    style = _style(point.row.kind, filled=point.row.weights != "fp32")
    axis.errorbar(point.x, value, yerr=error, capsize=3, elinewidth=0.8, **style)


def _label(axis: Axes, points: Sequence[Point]) -> None:
    """Name every point inside its panel where no other name or point is."""
    renderer = axis.figure.canvas.get_renderer()
    panel = axis.get_window_extent(renderer)
    taken = [
        Bbox.from_bounds(x - 6, y - 6, 12, 12)
        for x, y in (axis.transData.transform((p.x, p.score["value"])) for p in points)
    ]
    for point in sorted(points, key=lambda point: (-point.score["value"], point.x)):
        text = axis.annotate(
            point.row.name.rpartition("/")[2],
            (point.x, point.score["value"]),
            xytext=PLACES[0],
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=COLOURS[point.row.kind],
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": COLOURS[point.row.kind]},
        )
        for across, up in PLACES:
            text.set(position=(across, up), ha="left" if across > 0 else "right")
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # an annotation's own has the line too
            inside = panel.x0 < box.x0 and box.x1 < panel.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
