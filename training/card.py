"""The model card (Hugging Face format), written from the evaluation record."""

from pathlib import Path

import yaml

from app.contract.heads import label_names
from app.contract.manifest import Calibration, Manifest, Score
from training.encoder_recipe import (
    EncoderFile,
    EncoderSection,
    MiniAlbertRecipe,
    PretrainRecipe,
    SentenceRecipe,
)
from training.evaluate import Record
from training.hub import published_name

HUB_TASK = {
    "tagging": "token-classification",
    "ner": "token-classification",
    "sentiment": "text-classification",
    "sts": "sentence-similarity",
    "dialect": "text-classification",
    "parse": "token-classification",
    "qa": "question-answering",
}
PER_LABEL = {"spans": "strict F1", "tags": "recall", "classes": "recall", "parse": "strict F1"}
DATA = "Data, licences, limits"
CASCADE = "As a cascade with"


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
    for split, scores in evaluation.get("further", {}).items():
        found = {name: Score.model_validate(score) for name, score in scores.items()}
        sections.append(f"## Scores on {split}\n\n{score_table(found)}")
    if manifest.loyalty:
        sections.append(f"## Loyalty to {manifest.teacher}\n\n" + score_table(manifest.loyalty))
    if manifest.calibration:
        sections.append("## " + _cascade(manifest.calibration, evaluation["calibration"]))
    if evaluation["per_label"]:
        sections.append(_per_label(evaluation, PER_LABEL[manifest.head.kind]))
    sections.append(f"## {DATA}\n\n{data_notes.strip()}")
    again = evaluation.get("remeasured")
    anew = f", measured anew by `{again['command']}` (commit {again['commit']})" if again else ""
    sections.append(
        "## Reproduce\n\n"
        f"`python -m training run training/recipes/{manifest.recipe}` "
        f"(commit {manifest.commit}){anew}; the full record is `eval.json`."
    )
    return "\n\n".join(sections) + "\n"


def revised_card(card: str, before: Manifest, manifest: Manifest, record: Record) -> str:
    """A card under the name of its next version, with the section on the cascade new or replaced.

    Args:
        card: of the package before.
        before: its manifest.
        manifest: of the next version, with a calibration.
        record: what was fitted and measured.
    """
    mark = "\n\n## "
    head, *sections = card.rstrip("\n").split(mark)
    kept = [section for section in sections if not section.startswith(CASCADE)]
    at = next((i for i, s in enumerate(kept) if s.startswith(DATA)), len(kept))
    if manifest.calibration:
        kept.insert(at, _cascade(manifest.calibration, record))
    head = head.replace(f"\n# {before.name}", f"\n# {manifest.name}", 1)
    return mark.join([head, *kept]) + "\n"


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
    ratings = getattr(manifest.head, "rating", ())
    rows = {
        "task": manifest.task,
        "labels": ", ".join(label_names(manifest.head)),
        **({"ratings": ", ".join(ratings)} if ratings else {}),
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
        f"({dev['examples']} examples) through the serving pipeline, words as the corpus cuts them "
        "unless a measure says otherwise. "
        f"Hardware: {evaluation.get('remeasured', evaluation)['hardware']}."
    )


def _cascade(calibration: Calibration, record: Record) -> str:
    measured = record["measured"]
    rows = {
        f"{name}, {who}": Score.model_validate(score)
        for who, found in measured["quality"].items()
        for name, score in found.items()
    } | {
        "label_loyalty, student": Score.model_validate(measured["label_loyalty"]["student"]),
        "label_loyalty, cascade": calibration.label_loyalty,
        "inputs that the teacher answers": calibration.escalation,
        "inputs with the same answer": Score.model_validate(measured["same_answer"]),
    }
    data = calibration.data
    return (
        f"{CASCADE} {calibration.teacher}\n\n{score_table(rows)}\n\n"
        f"Where the student's confidence is below {calibration.threshold:.4f} (temperature "
        f"{calibration.temperature:.3f}), the teacher answers. Both were fitted for a label "
        f"loyalty of {calibration.target} on one half of {data.corpus} {data.split} "
        f"({record['fitted']['inputs']} inputs, chosen by hash); the table is the other half "
        f"({measured['inputs']} inputs). The student's mean confidence there is "
        f"{measured['confidence']:.4f}."
    )


def _per_label(evaluation: Record, measure: str) -> str:
    scores = {name: Score.model_validate(score) for name, score in evaluation["per_label"].items()}
    return f"## By label: {measure}\n\n" + score_table(scores)


def encoder_card(recipe: EncoderFile, last: dict[str, float]) -> str:
    """The card of a published encoder.

    Args:
        recipe: that made it.
        last: final entry of its history.
    """
    header = {
        "license": recipe.licence,
        "pipeline_tag": _pipeline(recipe.section),
        "library_name": "transformers",
        "base_model": published_name(recipe.base),
    }
    return (
        "\n\n".join(
            [
                f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
                f"# {recipe.name}",
                f"{_origin(recipe.section)}; weights in fp16. {_reached(recipe.section, last)}",
                f"## Data, licences, limits\n\n{recipe.data_notes.strip()}",
            ]
        )
        + "\n"
    )


def _pipeline(section: EncoderSection) -> str:
    if isinstance(section, MiniAlbertRecipe):
        return "feature-extraction"
    return "sentence-similarity" if isinstance(section, SentenceRecipe) else "fill-mask"


def _origin(section: EncoderSection) -> str:
    if isinstance(section, PretrainRecipe):
        case = "lower-cased" if section.lowercase else "cased"
        size = f"{section.vocabulary_size:,} subwords, {case}"
        return f"Masked-LM on {section.tokens:,} tokens, {size}"
    names = [
        parent.recipe.name if parent.recipe else published_name(str(parent.source))
        for parent in section.parents
    ]
    if isinstance(section, SentenceRecipe):
        data = " and ".join(f"{split.corpus} {split.split}" for split in section.data)
        return (
            f"{names[0]}, taught by {published_name(section.teacher)} on the translations in "
            f"{data}, {section.epochs} passes: the mean of its last hidden states is a sentence's "
            "vector. For fine-tuning; it predicts no words"
        )
    layers = ", ".join(str(layer) for layer in section.layers)
    if isinstance(section, MiniAlbertRecipe):
        return (
            f"A MiniALBERT (training/minialbert.py): one layer, applied {len(section.layers)} "
            f"times, taught on {section.tokens:,} tokens by layers {layers} of {names[0]}; "
            f"embeddings {section.embedding_size} wide, adapters {section.adapter_size}. For "
            "fine-tuning; it predicts no words"
        )
    return (
        f"Distilled from {' and '.join(names)} on {section.tokens:,} tokens; vocabulary and layers "
        f"{layers} of {names[0]} to start from"
    )


def _reached(section: EncoderSection, last: dict[str, float]) -> str:
    if isinstance(section, SentenceRecipe):
        dev, scored = section.dev, section.scored_dev
        return (
            f"Mean cosine to its teacher's vectors on {dev.corpus} {dev.split}: "
            f"{last['dev_cosine']:.3f}; Pearson's correlation of cosines with the scores of "
            f"{scored.corpus} {scored.split}, which it has not seen: {last['dev_pearson']:.3f}."
        )
    if isinstance(section, MiniAlbertRecipe):
        last_layer = f"dev hidden {len(section.layers) - 1}"
        if last_layer not in last:
            return f"Loss on the development text: {last['dev_loss']:.3f}."
        cosine = 1 - last[last_layer] / section.weights.hidden
        return f"Mean cosine to its teacher's last of these on the development text: {cosine:.3f}."
    text = f"Development perplexity {last['dev_perplexity']:.1f} over masked words"
    if "teacher_perplexity" in last:
        text += f", where its first teacher has {last['teacher_perplexity']:.1f}"
    return f"{text}."
