"""The report of a run: JSON for machines, Markdown for people, one picture."""

import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib

from training.evaluate import Record
from training.files import write_text
from training.recipe import Recipe

matplotlib.use("Agg")
History = list[dict[str, float]]
NO_LOSSES = ("step", "seconds", "learning_rate")


def write_report(
    folder: Path,
    recipe: Recipe,
    *,
    evaluation: Record,
    histories: dict[str, History],
    packages: dict[str, Path],
) -> Path:
    """Write `report.json`, `report.md` and `report.png` into the folder of a run.

    Args:
        folder: of the run.
        recipe: that was walked.
        evaluation: result of the evaluation step.
        histories: model -> what training.loop.fit returned.
        packages: model -> registered package.

    Returns:
        The Markdown file.
    """
    content = {"evaluation": evaluation, "histories": histories}
    write_text(folder / "report.json", json.dumps(content, indent=1, ensure_ascii=False))
    _plot(folder / "report.png", evaluation["engines"], histories)
    write_text(folder / "report.md", _markdown(recipe, evaluation, histories, packages))
    return folder / "report.md"


def comparison_table(engines: Record) -> str:
    """Teachers and students side by side, as Markdown; `-fp32` are models before quantization."""
    measures = list(next(iter(engines.values()))["quality"])
    agreement = list(dict.fromkeys(name for e in engines.values() for name in e["loyalty"]))
    columns = [
        "model",
        *(f"{measure} (95 % interval)" for measure in measures),
        *agreement,
        "file, MB",
        "texts/s at 1",
        "texts/s at 32",
        "x first at 32",
    ]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for name, engine in engines.items():
        scores = [engine["quality"][measure] for measure in measures]
        loyalty, speed = engine["loyalty"], engine["speed"]
        cells = [
            name,
            *(f"{s['value']:.4f} ({s['low']:.4f} to {s['high']:.4f})" for s in scores),
            *(f"{loyalty[each]['value']:.4f}" if each in loyalty else "" for each in agreement),
            f"{engine['bytes'] / 1e6:.1f}",
            f"{speed['1']['texts_per_second']:.0f}",
            f"{speed['32']['texts_per_second']:.0f}",
            f"{speed['32']['ratio']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def further_tables(engines: Record, teachers: Mapping[str, str]) -> list[str]:
    """Splits that are measured besides, and what students keep there, as Markdown.

    Args:
        engines: of an evaluation.
        teachers: student -> its first teacher.

    Returns:
        A table, and a line a student; nothing if there is no such split.
    """
    splits = list(next(iter(engines.values())).get("further", {}))
    if not splits:
        return []
    measures = list(next(iter(engines.values()))["quality"])
    columns = ["split", "model", *(f"{each} (95 % interval)" for each in measures), "n"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for split in splits:
        for name, engine in engines.items():
            scores = engine["further"][split]
            cells = [
                f"{s['value']:.4f} ({s['low']:.4f} to {s['high']:.4f})" if s else ""
                for s in map(scores.get, measures)
            ]
            n = scores[measures[0]]["n"]
            lines.append(f"| {split} | {name} | {' | '.join(cells)} | {n:.0f} |")
    kept = []
    for student, teacher in teachers.items():
        pairs = [
            [engines[name]["further"][split][measures[0]]["value"] for name in (student, teacher)]
            for split in splits
        ]
        shares = [100 * own / theirs if theirs else 0.0 for own, theirs in pairs]
        each = ", ".join(f"{share:.1f}" for share in shares)
        kept.append(
            f"- `{student}` keeps {each} % of {measures[0]} of `{teacher}` on these splits in "
            f"turn, {sum(shares) / len(shares):.1f} % in the mean."
        )
    return ["\n".join(lines), "\n".join(kept)]


def _markdown(
    recipe: Recipe,
    evaluation: Record,
    histories: dict[str, History],
    packages: dict[str, Path],
) -> str:
    engines = evaluation["engines"]
    dev = evaluation["dataset"]
    first = next(iter(engines.values()))["quality"]
    items = {score["n"] for score in first.values()}
    parts = [
        f"# {recipe.name}",
        f"`{recipe.command()}`, commit {evaluation['commit']}, "
        f"seed {evaluation['seed']}, on {evaluation['hardware']}.",
        f"Development split: {dev['corpus']} {dev['split']}, {dev['examples']} examples, n "
        f"{' and '.join(map(str, sorted(items)))}. Intervals: bootstrap over examples. Loyalty is "
        "to the (first) teacher as served; a teacher's fp32 row to itself. Speed: one thread, "
        "engines timed in turn.",
        comparison_table(engines),
        "\n".join(_retention(name, engines, recipe) for name in recipe.students),
        *further_tables(engines, {name: s.teachers[0] for name, s in recipe.students.items()}),
        "![training losses, scores and speed](report.png)",
        "Registered: "
        + (", ".join(f"`{'/'.join(path.parts[-3:])}`" for path in packages.values()) or "none"),
    ]
    return "\n\n".join(parts) + "\n"


def _retention(name: str, engines: Record, recipe: Recipe) -> str:
    """What a student keeps of its first teacher."""
    teacher = recipe.students[name].teachers[0]
    kept = [
        f"{100 * score['value'] / engines[teacher]['quality'][measure]['value']:.1f} % of {measure}"
        for measure, score in engines[name]["quality"].items()
        if engines[teacher]["quality"][measure]["value"]
    ]
    share = 100 * engines[name]["bytes"] / engines[f"{teacher}-fp32"]["bytes"]
    return f"- `{name}` keeps {', '.join(kept)} of `{teacher}` in {share:.1f} % of its fp32 bytes."


def _plot(path: Path, engines: Record, histories: dict[str, History]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for name, history in histories.items():
        losses = [
            sum(v for k, v in e.items() if k not in NO_LOSSES and not k.startswith("dev_"))
            for e in history
        ]
        axes[0].plot([e["step"] for e in history], losses, marker=".", label=name)
    axes[0].set(xlabel="optimizer steps", ylabel="loss", yscale="log", title="training")
    axes[0].legend()
    measure = next(iter(next(iter(engines.values()))["quality"]))
    scores = [engine["quality"][measure] for engine in engines.values()]
    values = [score["value"] for score in scores]
    errors = [
        [max(0.0, score["value"] - score["low"]) for score in scores],
        [max(0.0, score["high"] - score["value"]) for score in scores],
    ]
    axes[1].errorbar(values, list(engines), xerr=errors, fmt="o", capsize=4)
    axes[1].set(xlabel=f"{measure}, 95 % interval", title="development split")
    axes[1].invert_yaxis()
    for (name, engine), value in zip(engines.items(), values, strict=True):
        speed = engine["speed"]["32"]["texts_per_second"]
        axes[2].scatter(speed, value, s=engine["bytes"] / 2e5)
        axes[2].annotate(name, (speed, value), xytext=(5, 8), textcoords="offset points")
    axes[2].margins(0.3)
    axes[2].set(xlabel="texts/s, batch 32, one thread", ylabel=measure, title="area: file size")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
