"""The report of a run: JSON for machines, Markdown for people, one picture."""

import json
from pathlib import Path

import matplotlib

from training.evaluate import Record
from training.files import write_text
from training.recipe import Recipe

matplotlib.use("Agg")
History = list[dict[str, float]]
ROLES = {
    "teacher-fp32": "teacher, fp32",
    "teacher": "teacher, fp32, stored fp16",
    "student-fp32": "student, fp32",
    "student": "student, int8",
}


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
        histories: step -> what training.loop.fit returned.
        packages: role -> registered package.

    Returns:
        The Markdown file.
    """
    content = {"evaluation": evaluation, "histories": histories}
    write_text(folder / "report.json", json.dumps(content, indent=1, ensure_ascii=False))
    _plot(folder / "report.png", evaluation["engines"], histories)
    write_text(folder / "report.md", _markdown(recipe, evaluation, histories, packages))
    return folder / "report.md"


def comparison_table(engines: Record) -> str:
    """Teacher and students side by side, as Markdown."""
    lines = [
        "| model | strict F1 (95 % interval) | on running text | label loyalty | "
        "probability loyalty | file, MB | texts/s at 1 | texts/s at 32 | x teacher at 32 |",
        "| --- " * 9 + "|",
    ]
    for name, engine in engines.items():
        f1, raw = engine["quality"]["strict_f1"], engine["quality"]["strict_f1_running_text"]
        loyalty = engine["loyalty"]
        speed = engine["speed"]
        cells = [
            ROLES[name],
            f"{100 * f1['value']:.2f} ({100 * f1['low']:.2f} to {100 * f1['high']:.2f})",
            f"{100 * raw['value']:.2f}",
            f"{loyalty['label_loyalty']['value']:.4f}" if loyalty else "",
            f"{loyalty['probability_loyalty']['value']:.4f}" if loyalty else "",
            f"{engine['bytes'] / 1e6:.1f}",
            f"{speed['1']['texts_per_second']:.0f}",
            f"{speed['32']['texts_per_second']:.0f}",
            f"{speed['32']['ratio']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _markdown(
    recipe: Recipe,
    evaluation: Record,
    histories: dict[str, History],
    packages: dict[str, Path],
) -> str:
    engines = evaluation["engines"]
    dev = evaluation["dataset"]
    f1 = {name: engine["quality"]["strict_f1"]["value"] for name, engine in engines.items()}
    retention = 100 * f1["student"] / f1["teacher"] if f1["teacher"] else 0.0
    parts = [
        f"# {recipe.name}",
        f"`python -m training run training/recipes/{recipe.path.name}`, "
        f"commit {evaluation['commit']}, seed {evaluation['seed']}, on {evaluation['hardware']}.",
        f"Development split: {dev['corpus']} {dev['split']}, {dev['sentences']} sentences, "
        f"{engines['student']['quality']['strict_f1']['n']} entities. "
        "Intervals: bootstrap over sentences. Speed: one thread, engines timed in turn.",
        comparison_table(engines),
        f"The int8 student keeps {retention:.1f} % of its teacher's strict F1 in "
        f"{100 * engines['student']['bytes'] / engines['teacher-fp32']['bytes']:.1f} % of its "
        "fp32 bytes.",
        "![perplexity, scores and speed](report.png)",
    ]
    if "encoder" in histories:
        parts.append("## Encoder: masked-LM development perplexity\n\n" + _perplexity(histories))
    parts.append(
        "Registered: " + ", ".join(f"`{'/'.join(path.parts[-3:])}`" for path in packages.values())
    )
    return "\n\n".join(parts) + "\n"


def _perplexity(histories: dict[str, History]) -> str:
    rows = [
        f"| {entry['step']:.0f} | {entry['seconds'] / 60:.0f} | {entry['dev_loss']:.3f} | "
        f"{entry['dev_perplexity']:.1f} |"
        for entry in histories["encoder"]
    ]
    header = ["| step | minutes | dev loss, nats | dev perplexity |", "| --- " * 4 + "|"]
    return "\n".join([*header, *rows])


def _plot(path: Path, engines: Record, histories: dict[str, History]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    history = histories.get("encoder", [])
    axes[0].plot([e["step"] for e in history], [e["dev_perplexity"] for e in history], marker=".")
    axes[0].set(xlabel="optimizer steps", ylabel="dev perplexity", yscale="log", title="encoder")
    scores = [engine["quality"]["strict_f1"] for engine in engines.values()]
    values = [100 * score["value"] for score in scores]
    errors = [
        [100 * (score["value"] - score["low"]) for score in scores],
        [100 * (score["high"] - score["value"]) for score in scores],
    ]
    names = [ROLES[name] for name in engines]
    axes[1].errorbar(values, names, xerr=errors, fmt="o", capsize=4)
    axes[1].set(xlabel="strict span F1, 95 % interval", title="development split")
    axes[1].invert_yaxis()
    for name, engine, value in zip(names, engines.values(), values, strict=True):
        speed = engine["speed"]["32"]["texts_per_second"]
        axes[2].scatter(speed, value, s=engine["bytes"] / 2e5)
        axes[2].annotate(name, (speed, value), xytext=(5, 8), textcoords="offset points")
    axes[2].margins(0.3)
    axes[2].set(xlabel="texts/s, batch 32, one thread", ylabel="strict F1", title="area: file size")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
