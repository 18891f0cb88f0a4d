"""The panels of the Grafana dashboard as one picture, drawn from the API of a Prometheus.

Starts the service and Debian's Prometheus, sends requests for 100 seconds, 20 of them more than can
be answered, and writes docker/grafana/dashboard.png.
"""

import argparse
import asyncio
import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from loadtests.clients import arrivals, open_loop
from loadtests.connection import post
from loadtests.inputs import inputs_of, v1
from loadtests.prometheus import DASHBOARD, Prometheus, watching
from loadtests.servers import service

PICTURE = DASHBOARD.parent.parent / "dashboard.png"
UNITS = {"percentunit": (100, "%"), "bytes": (1e-6, "MB"), "s": (1000, "ms"), "reqps": (1, "1/s")}
"""Grafana's name -> factor and label of an axis."""

COLUMNS = 2
MAX_LEGEND = 12
SLO_MS = 100


def main() -> None:
    args = parse_arguments()
    settings = {"shadow_share": args.shadow_share, "log_level": "error"}
    with (
        tempfile.TemporaryDirectory() as folder,
        service(args.model_store, **settings) as loyal,
        watching(loyal.port, Path(folder)) as prometheus,
    ):
        tasks = [task["task"] for task in loyal.get("/v1/models")["tasks"]]
        requests = endless(tasks)
        start = time.time()
        for rate, seconds in ((args.rate, 40), (args.peak, 20), (args.rate, 40)):
            times = arrivals(rate, seconds, seed=0)
            asyncio.run(open_loop(loyal.port, requests, times_s=times))
        empty = draw(prometheus, PICTURE, start=start, end=time.time(), step_s=1)
    print(PICTURE)
    if empty:
        sys.exit(f"panels without data: {', '.join(empty)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.dashboard", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--model-store", default="model_store", help="folder (default model_store)")
    parser.add_argument("--rate", type=float, default=10, help="requests a second (default 10)")
    parser.add_argument("--peak", type=float, default=400, help="for 20 seconds (default 400)")
    parser.add_argument("--shadow-share", type=float, default=0.2, help="(default 0.2)")
    return parser.parse_args()


def endless(tasks: list[str]) -> Iterator[bytes]:
    """Requests of all tasks: half for the default, the rest for whoever else can be named."""
    choice = random.Random(0)
    while True:
        task = choice.choice(tasks)
        value = choice.choice(inputs_of(task))
        match choice.randrange(8):
            case 0 if task != "sts":  # numbers do not say how sure a model is
                yield v1(task, value, model="cascade")
            case 1:
                body = json.dumps({"inputs": value, "model": "auto"}).encode()
                head = f"\r\nX-SLO-Ms: {SLO_MS}\r\n".encode()
                yield post(f"/v1/{task}", body).replace(b"\r\n", head, 1)
            case 2:
                yield v1(task, value, model="teacher")
            case _:
                yield v1(task, value)


def draw(
    prometheus: Prometheus, picture: Path, *, start: float, end: float, step_s: float
) -> list[str]:
    """Draw every panel of the dashboard.

    Args:
        prometheus: where the data are.
        picture: the PNG file to write.
        start: Unix time of the left edge.
        end: of the right edge.
        step_s: between points.

    Returns:
        Titles of the panels in which there is nothing to draw.
    """
    panels = json.loads(DASHBOARD.read_bytes())["panels"]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(13, 2.9 * rows), layout="constrained", dpi=80)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
    empty = []
    for panel, axis in zip(panels, axes, strict=False):
        factor, unit = UNITS.get(panel["fieldConfig"]["defaults"]["unit"], (1, ""))
        for target in panel["targets"]:
            for series in prometheus.query_range(
                target["expr"], start=start, end=end, step_s=step_s
            ):
                name = legend(target["legendFormat"], series["metric"])
                style: dict[str, Any] = {"linewidth": 1.2}
                if name.startswith("objective"):
                    style = {"linestyle": "--", "color": "gray", "linewidth": 1}
                seconds, values = zip(*series["values"], strict=True)
                axis.plot(
                    [second - start for second in seconds],
                    [float(value) * factor for value in values],
                    label=name,
                    **style,
                )
        if not axis.lines:
            empty.append(panel["title"])
        decorate(axis, panel["title"], unit, end - start)
    for axis in list(axes):
        axis.set_visible(False)
    figure.savefig(picture)
    return empty


def decorate(axis: Any, title: str, unit: str, seconds: float) -> None:  # noqa: ANN401 - untyped
    axis.set_title(f"{title}, {unit}" if unit else title, loc="left", fontsize=10)
    axis.set_xlim(0, seconds)
    axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    handles, labels = axis.get_legend_handles_labels()
    if labels:
        axis.legend(
            handles[:MAX_LEGEND],
            labels[:MAX_LEGEND],
            fontsize=7,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            frameon=False,
        )


def legend(form: str, labels: dict[str, str]) -> str:
    """A legend as Grafana writes it: `{{task}} p99` with the label's value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form)


if __name__ == "__main__":
    main()
