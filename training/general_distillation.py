"""General distillation: a shallow copy of an encoder learns masked words from one or two encoders.

With one teacher (Sanh et al. 2019, section 3, and their code), over real or masked tokens:
    L = soft * T^2 KL(p_t || p_s) + masked_lm * CE(word, p_s) + hidden * (1 - cos(h_s, h_t))
A second teacher may have another vocabulary (after Avram et al. 2022, whose own alignment is not
public). The same words are hidden from all; its predictions are compared on the words that are one
token in both vocabularies, its hidden states word by word (means over tokens) behind a projection
that is dropped afterwards. Soft and hidden terms are then means over the two teachers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.encoder_recipe import DistilRecipe
from training.errors import StepError
from training.hub import resolve_model
from training.loop import LoopSettings, autocast, device, fit
from training.losses import hidden_cosine, soft_cross_entropy
from training.masked_lm import NOT_MASKED
from training.masked_text import MaskedText, Reading, cut_readings
from training.shared_words import SharedWords
from training.word_blocks import WordBlocks


@dataclass(frozen=True, slots=True)
class Teacher:
    """An encoder that teaches.

    Attributes:
        model: a BERT with its masked-LM head, in evaluation mode.
        shared: words that it has in common with the student; None: it has the same vocabulary.
        projection: from the student's hidden states to its own; None with `shared`.
    """

    model: PreTrainedModel
    shared: SharedWords | None = None
    projection: nn.Linear | None = None

    @classmethod
    def second(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        student: PreTrainedModel,
        student_tokenizer: PreTrainedTokenizerFast,
    ) -> "Teacher":
        """A teacher of another vocabulary.

        Raises:
            StepError: too few words are one token in both vocabularies.
        """
        shared = SharedWords.of(student_tokenizer, tokenizer)
        widths = student.config.hidden_size, model.config.hidden_size
        projection = nn.Linear(*widths, bias=False)
        nn.init.eye_(projection.weight)  # encoders of one descent start near each other
        return cls(model, shared, projection)


def load_teacher(source: str, *, predicts: bool = True) -> PreTrainedModel:
    """A BERT to learn from, frozen.

    Args:
        source: see training.hub.resolve_model.
        predicts: whether it is to have its masked-LM head.

    Raises:
        StepError: no BERT, or one without the head that is needed.
    """
    auto = AutoModelForMaskedLM if predicts else AutoModel
    model, found = auto.from_pretrained(
        resolve_model(source), attn_implementation="eager", output_loading_info=True
    )
    if model.config.model_type != "bert":
        raise StepError(f"{source}: a BERT is needed to learn from, got {model.config.model_type}")
    if any(name.startswith("cls.") for name in found["missing_keys"]):
        raise StepError(
            f"{source} has no masked-LM head, so it predicts no words; choose an encoder that was "
            "saved with the one it was pre-trained with"
        )
    return model.requires_grad_(False).eval()


def lesson(
    student: PreTrainedModel,
    teachers: Sequence[Teacher],
    readings: Sequence[Reading],
    recipe: DistilRecipe,
) -> dict[str, Tensor]:
    """The weighted terms of the loss on one batch.

    Args:
        student: a BERT with its masked-LM head.
        teachers: the first has the student's vocabulary.
        readings: the batch as each teacher reads it; the student reads as the first one.
        recipe: temperature, weights, and at which tokens predictions are compared.
    """
    weights, temperature = recipe.weights, recipe.temperature
    ours = readings[0]
    at = ours.predicted(restrict_to_masked=recipe.restrict_to_masked)
    hidden = ours.hidden(student)
    logits = student.cls(hidden[at]).float()
    parts = {"masked_lm": weights.masked_lm * cross_entropy(logits, ours.labels[at])}
    for number, (teacher, theirs) in enumerate(zip(teachers, readings, strict=True), start=1):
        with torch.no_grad():
            taught = theirs.hidden(teacher.model)
        mine = hidden if teacher.projection is None else teacher.projection(hidden).float()
        if len(teachers) > 1:
            cosine = hidden_cosine(ours.word_means(mine), theirs.word_means(taught))
        else:
            real = ours.attention_mask.flatten().bool()
            cosine = hidden_cosine(mine[real], taught[real])
        parts[f"hidden {number}"] = weights.hidden / len(teachers) * cosine
        if teacher.shared is None:
            said, target = logits, predict(teacher.model, taught[at])
        else:
            here, there = ours.shared_positions(theirs, teacher.shared)
            row = torch.full_like(ours.labels, -1)
            row[at] = torch.arange(len(at), device=at.device)
            known = row[here] >= 0
            said = teacher.shared.student_logits(logits[row[here[known]]], temperature=temperature)
            target = teacher.shared.teacher_logits(predict(teacher.model, taught[there[known]]))
        if len(said):
            probabilities = torch.softmax(target / temperature, dim=-1)
            soft = soft_cross_entropy(said, probabilities, temperature=temperature)
            parts[f"soft {number}"] = weights.soft / len(teachers) * soft
    return parts


def distil_encoder(
    student: PreTrainedModel,
    teachers: Sequence[Teacher],
    tokenizers: Sequence[PreTrainedTokenizerFast],
    *,
    train: Sequence[WordBlocks],
    dev: Sequence[WordBlocks],
    recipe: DistilRecipe,
    settings: LoopSettings,
    seed: int,
    checkpoint: Path,
) -> list[dict[str, float]]:
    """Train `student` in place.

    Args:
        student: starts as a shallow copy of the first teacher's model.
        teachers: one or two.
        tokenizers: of the teachers.
        train: blocks under each of their vocabularies.
        dev: the same of the development text.
        recipe: see `lesson`.
        settings: of the loop.
        seed: of order, masks and dropout.
        checkpoint: see training.loop.fit.

    Raises:
        StepError: the text does not fill one batch or has no development part; see also fit.

    Returns:
        The history, with `dev_loss` (nats per masked token) and `dev_perplexity`, whose masks are
        the same at every evaluation, and the first teacher's perplexity under these masks.
    """
    text = MaskedText(tokenizers, train, dev, recipe, recipe.mask_share, seed)
    text.check(settings.total_steps)

    def perplexity(model: PreTrainedModel) -> dict[str, float]:
        losses, counts = [], []
        for reading, *_ in text.dev_batches():
            at = reading.predicted(restrict_to_masked=True)
            logits = predict(model, reading.hidden(model)[at])
            counts.append(len(at))
            losses.append(cross_entropy(logits, reading.labels[at]).item() * len(at))
        loss = sum(losses) / sum(counts)
        return {"dev_loss": loss, "dev_perplexity": math.exp(loss)}

    for teacher in teachers:
        teacher.model.to(device())
    with torch.no_grad(), autocast():  # as fit evaluates the student
        of_teacher = {"teacher_perplexity": perplexity(teachers[0].model)["dev_perplexity"]}
    projections = [teacher.projection for teacher in teachers if teacher.projection is not None]
    return fit(
        nn.ModuleDict({"student": student, "projections": nn.ModuleList(projections)}),
        settings,
        batch_at=text.at,
        cut=cut_readings,
        losses=lambda batch: lesson(student, teachers, batch, recipe),
        evaluate=lambda: perplexity(student) | of_teacher,
        checkpoint=checkpoint,
        seed=seed,
        title="general distillation",
    )


def predict(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits of a frozen masked-LM head, float32, shape (rows, vocabulary)."""
    with torch.no_grad():
        return model.cls(hidden).float()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the masked tokens, in nats; 0 where there are none."""
    total = functional.cross_entropy(logits, labels, ignore_index=NOT_MASKED, reduction="sum")
    return total / (labels != NOT_MASKED).sum().clamp_min(1)
