"""Teachers and students of every task side by side: Markdown, JSON and pictures.

Read from the evaluation records of registered packages. A record holds every model of its run, in
fp32 and as served, timed in turn on one machine.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from app.contract.errors import ContractError
from app.contract.manifest import EVALUATION, MANIFEST, Manifest, read_manifest
from training.errors import StepError
from training.evaluate import Record
from training.files import write_text
from training.published import PUBLISHED, ROMANIAN, WHY_NOT_COMPARABLE

matplotlib.use("Agg")
BATCHES = ("1", "32")


def newest_packages(store: Path) -> list[Path]:
    """The newest version of every model of a store, by task and name."""
    newest: dict[Path, int] = {}
    for manifest in store.glob(f"*/*/*/{MANIFEST}"):
        home, version = manifest.parent.parent, manifest.parent.name
        if version.isdigit():
            newest[home] = max(newest.get(home, 0), int(version))
    return [home / str(version) for home, version in sorted(newest.items())]


def compare(packages: Sequence[Path]) -> Record:
    """Task -> model -> its record: quality, loyalty, parameters, bytes, speed, dataset, hardware.

    A package's row carries its name; the other models of its run (fp32, or not registered) are
    named as in the recipe.

    Raises:
        StepError: a folder is not a package.
    """
    tasks: dict[str, dict[str, Record]] = {}
    for package in packages:
        manifest, evaluation = _read(package)
        rows = tasks.setdefault(manifest.task, {})
        rows[manifest.name] = _row(evaluation, evaluation) | {
            "parameters": manifest.parameters,
            "precision": manifest.precision,
        }
        served = {path.parent.name for path in packages}
        for name, engine in evaluation.get("compared", {}).items():
            if name not in served:
                rows.setdefault(name, _row(engine, evaluation))
    return {task: dict(sorted(rows.items(), key=_by_speed)) for task, rows in tasks.items()}


def markdown(tasks: Record) -> str:
    """A table a task, the paper's rows below it."""
    parts = []
    for task, rows in sorted(tasks.items()):
        dataset = next(iter(rows.values()))["dataset"]
        parts.append(f"## {task}: {dataset['corpus']} {dataset['split']}\n\n{_table(rows)}")
        if task in PUBLISHED:
            parts.append(_published(task))
    return "\n\n".join(parts) + "\n"


def write_comparison(folder: Path, tasks: Record) -> list[Path]:
    """Write `comparison.md`, `comparison.json` and `comparison.png`; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"comparison.{kind}" for kind in ("md", "json", "png")]
    write_text(files[0], f"# Teachers and students\n\n![]({files[2].name})\n\n{markdown(tasks)}")
    write_text(files[1], json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    _plot(files[2], tasks)
    return files


def _read(package: Path) -> tuple[Manifest, Record]:
    try:
        manifest = read_manifest(package)
        return manifest, json.loads((package / EVALUATION).read_text(encoding="utf-8"))
    except (ContractError, OSError, ValueError) as error:
        raise StepError(f"{package}: {error}") from error


def _row(scores: Record, evaluation: Record) -> Record:
    own = {key: scores[key] for key in ("quality", "loyalty", "bytes", "speed")}
    optional = {key: scores[key] for key in ("parameters",) if key in scores}
    return own | optional | {key: evaluation[key] for key in ("dataset", "hardware")}


def _by_speed(row: tuple[str, Record]) -> tuple[float, str]:
    return row[1]["speed"]["32"]["ratio"], row[0]


def _table(rows: Mapping[str, Record]) -> str:
    scores = list(dict.fromkeys(m for row in rows.values() for m in row["quality"]))
    loyalties = list(dict.fromkeys(m for row in rows.values() for m in row["loyalty"]))
    speeds = [f"texts/s at {size} (x slowest)" for size in BATCHES]
    columns = ["model", *scores, *loyalties, "parameters", "bytes", *speeds]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    slowest = {
        size: min(row["speed"][size]["texts_per_second"] for row in rows.values())
        for size in BATCHES
    }
    for name, row in rows.items():
        measured = [row["quality"].get(m) for m in scores] + [
            row["loyalty"].get(m) for m in loyalties
        ]
        per_second = {size: row["speed"][size]["texts_per_second"] for size in BATCHES}
        cells = [
            name,
            *(_score(score) if score else "" for score in measured),
            f"{row['parameters']:,}" if "parameters" in row else "",
            f"{row['bytes']:,}",
            *(
                f"{per_second[size]:.0f} ({per_second[size] / slowest[size]:.2f}x)"
                for size in BATCHES
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    hardware = dict.fromkeys(row["hardware"] for row in rows.values())
    return "\n".join([*lines, "", f"One thread on {'; '.join(hardware)}."])


def _score(score: Mapping[str, float]) -> str:
    return f"{score['value']:.4f} ({score['low']:.4f} to {score['high']:.4f}; n {score['n']:.0f})"


def _published(task: str) -> str:
    rows = PUBLISHED[task]
    measures = list(rows[0].scores)
    lines = [f"| published | {' | '.join(measures)} |", "| --- " * (1 + len(measures)) + "|"]
    lines += [
        f"| {row.model} | {' | '.join(f'{row.scores[m]:.4f}' for m in measures)} |" for row in rows
    ]
    return "\n".join([*lines, "", f"{ROMANIAN}. Not comparable: {WHY_NOT_COMPARABLE[task]}."])


def _plot(path: Path, tasks: Record) -> None:
    """For each task loyalty against speed, and score against size."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(tasks), 2, figsize=(12, 4 * len(tasks)), layout="constrained", squeeze=False
    )
    for (loyal, sized), (task, rows) in zip(axes, sorted(tasks.items()), strict=True):
        for name, row in rows.items():
            quality = next(iter(row["quality"].values()))["value"]
            agreement = next(iter(row["loyalty"].values()), {"value": 1.0})["value"]
            speed = row["speed"]["32"]["texts_per_second"]
            for axis, point in (
                (loyal, (speed, agreement)),
                (sized, (row["bytes"] / 1e6, quality)),
            ):
                axis.scatter(*point)
                axis.annotate(name, point, xytext=(5, 5), textcoords="offset points", fontsize=8)
        first = next(iter(rows.values()))
        measure = next(iter(next((r["loyalty"] for r in rows.values() if r["loyalty"]), {"": 0})))
        loyal.set(title=task, xlabel="texts/s, batch 32, one thread", ylabel=measure or "loyalty")
        sized.set(title=task, xlabel="file, MB", ylabel=next(iter(first["quality"])))
        for axis in (loyal, sized):
            axis.margins(0.25)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
