"""The model card (Hugging Face format), written from the evaluation record."""

from pathlib import Path

import yaml

from app.contract.heads import label_names
from app.contract.manifest import Manifest, Score
from training.evaluate import Record

HUB_TASK = {"ner": "token-classification"}


def write_card(path: Path, manifest: Manifest, evaluation: Record, data_notes: str) -> None:
    """Write the card of a package."""
    path.write_text(card_text(manifest, evaluation, data_notes), encoding="utf-8")


def card_text(manifest: Manifest, evaluation: Record, data_notes: str) -> str:
    """The card: YAML header, purpose, scores, loyalty, data, limits."""
    header = {
        "language": list(manifest.languages),
        "license": manifest.licence,
        "pipeline_tag": HUB_TASK[manifest.task],
        "library_name": "onnxruntime",
        "base_model": manifest.base,
        "tags": ["loyal", manifest.task, manifest.precision],
    }
    sections = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {manifest.name}\n\n{manifest.description}",
        _facts(manifest, evaluation),
        "## Scores\n\n" + _scores(manifest.quality, evaluation),
    ]
    if manifest.loyalty:
        sections.append(f"## Loyalty to {manifest.teacher}\n\n" + score_table(manifest.loyalty))
    sections.append(_per_type(evaluation))
    sections.append(f"## Data, licences, limits\n\n{data_notes.strip()}")
    sections.append(
        "## Reproduce\n\n"
        f"`python -m training run training/recipes/{manifest.recipe}` "
        f"(commit {manifest.commit}); the full record is `eval.json`."
    )
    return "\n\n".join(sections) + "\n"


def score_table(scores: dict[str, Score]) -> str:
    """A Markdown table of scores with intervals."""
    lines = ["| measure | value | 95 % interval | n |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {score.value:.4f} | {score.low:.4f} to {score.high:.4f} | {score.n} |"
        for name, score in scores.items()
    ]
    return "\n".join(lines)


def _facts(manifest: Manifest, evaluation: Record) -> str:
    speed = evaluation["speed"]
    rows = {
        "task": manifest.task,
        "labels": ", ".join(label_names(manifest.head)),
        "parameters": f"{manifest.parameters:,}",
        "precision": f"{manifest.precision} (weights stored as {manifest.weights})",
        "file": f"{evaluation['bytes']:,} bytes",
        "longest window": f"{manifest.encoder.max_tokens} tokens, {manifest.encoder.stride} shared",
        "teacher": manifest.teacher or "none: this is a teacher",
        "base": manifest.base,
    } | {
        f"speed, batch {size}": f"{entry['texts_per_second']} texts/s in one thread, "
        f"{entry['ratio']}x the fp32 teacher in the same run"
        for size, entry in speed.items()
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _scores(quality: dict[str, Score], evaluation: Record) -> str:
    dev = evaluation["dataset"]
    return (
        f"{score_table(quality)}\n\nMeasured on {dev['corpus']} {dev['split']} "
        f"({dev['sentences']} sentences) through the serving pipeline; `strict_f1` over the "
        "corpus's words, `strict_f1_running_text` over the untokenized text. "
        f"Hardware: {evaluation['hardware']}."
    )


def _per_type(evaluation: Record) -> str:
    scores = {name: Score.model_validate(score) for name, score in evaluation["per_type"].items()}
    return "## Scores by label\n\n" + score_table(scores)
