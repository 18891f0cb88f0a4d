"""The comparison on paper: Markdown for people, JSON for machines, two pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from training.compare import Row, Run
from training.comparison_plots import plot_loyalty, plot_size
from training.files import write_text
from training.published import PUBLISHED, PublishedRow

BATCHES = ("1", "32")
LOYALTY_PICTURE = "loyalty-against-speed.png"
SIZE_PICTURE = "size-against-score.png"
NOTES = (
    "Every score: value (95 % interval, bootstrap over examples; n). Texts/s: one thread, all "
    "models of a run timed in turn on its machine; x: times as fast as the first row of the run. "
    "Probability loyalty is 1 - Jensen-Shannon distance, base e, or base 2 where it says so. Both "
    "regression loyalties are ours (Pearson's correlation of the scores, and 1 - their mean "
    "distance): the paper's formula could not be read. A teacher in fp32 is compared with itself "
    "as served."
)


def markdown(runs: Sequence[Run]) -> str:
    """Of each run scores, size and speed with the published rows below, then loyalty."""
    parts = []
    for task, of_task in groupby(runs, key=lambda run: run.task):
        parts.append(f"## {task}")
        for run in of_task:
            corpus, split = run.dataset["corpus"], run.dataset["split"]
            parts.append(
                f"### {corpus} {split}\n\n"
                f"{run.hardware}, commit {run.commit}.\n\n{_scores(run)}\n\n{_loyalty(run)}"
            )
    return "\n\n".join([*parts, NOTES]) + "\n"


def write_comparison(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Write `report.md`, `report.json` and two pictures; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("report.md", "report.json", LOYALTY_PICTURE, SIZE_PICTURE)
    text, data, loyalty, size = (folder / name for name in names)
    pictures = f"![loyalty against speed]({loyalty.name})\n\n![size against score]({size.name})"
    write_text(text, f"# Teachers and students\n\n{pictures}\n\n{markdown(runs)}")
    content = {
        "runs": [asdict(run) for run in runs],
        "published": {
            task: [asdict(table) for table in PUBLISHED[task]]
            for task in sorted({run.task for run in runs} & PUBLISHED.keys())
        },
    }
    write_text(data, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    plot_loyalty(loyalty, runs)
    plot_size(size, runs)
    return [text, data, loyalty, size]


def _scores(run: Run) -> str:
    measures = list(dict.fromkeys(measure for row in run.rows for measure in row.quality))
    speeds = [f"texts/s at {size}" for size in BATCHES]
    lines = [_own_cells(row, measures) for row in run.rows]
    verdicts = []
    for table in PUBLISHED.get(run.task, ()):
        shown = [row for row in table.rows if row.scores.keys() & set(measures)]
        lines += [_published_cells(row, measures) for row in shown]
        verdict = table.verdict(run.dataset["corpus"], run.dataset["split"])
        verdicts += [f"- {', '.join(f'*{row.model}*' for row in shown)}: {table.source}. {verdict}"]
    columns = ["model", "weights", *measures, "parameters", "MB", *speeds]
    return "\n".join([_table(columns, lines), "", *verdicts]).rstrip()


def _own_cells(row: Row, measures: Sequence[str]) -> list[str]:
    return [
        row.name,
        row.weights,
        *(_score(row.quality.get(measure)) for measure in measures),
        f"{row.parameters / 1e6:.1f} M" if row.parameters else "",
        f"{row.bytes / 1e6:.1f}",
        *(
            f"{row.speed[size]['texts_per_second']:.0f} ({row.speed[size]['ratio']:.2f}x)"
            for size in BATCHES
        ),
    ]


def _published_cells(row: PublishedRow, measures: Sequence[str]) -> list[str]:
    return [
        f"*{row.model}*",
        "fp32",
        *(f"*{row.scores[measure]:.4f}*" if measure in row.scores else "" for measure in measures),
        f"{row.parameters} M" if row.parameters else "",
        f"{row.megabytes}" if row.megabytes else "",
        *("" for _ in BATCHES),
    ]


def _loyalty(run: Run) -> str:
    measures = list(
        dict.fromkeys(m for row in run.rows for scores in row.loyalty.values() for m in scores)
    )
    lines = [
        [row.name, teacher, *(_score(scores.get(measure)) for measure in measures)]
        for row in run.rows
        for teacher, scores in row.loyalty.items()
    ]
    return _table(["model", "loyal to", *measures], lines)


def _score(score: Mapping[str, float] | None) -> str:
    if score is None:
        return ""
    return f"{score['value']:.4f} ({score['low']:.4f} to {score['high']:.4f}; {score['n']:.0f})"


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
