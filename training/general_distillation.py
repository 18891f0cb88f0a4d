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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.batches import BatchPlan
from training.encoder_recipe import DistilRecipe
from training.errors import StepError
from training.hub import resolve_model
from training.loop import LoopSettings, autocast, device, fit
from training.losses import hidden_cosine, soft_cross_entropy
from training.masked_lm import NOT_MASKED, MaskedBatch
from training.shared_words import SharedWords
from training.word_blocks import WordBlocks, WordMasker


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


def load_teacher(source: str) -> PreTrainedModel:
    """A masked-LM model to learn from, frozen.

    Raises:
        StepError: no BERT, or one without a masked-LM head.
    """
    model, found = AutoModelForMaskedLM.from_pretrained(
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


class Reading:
    """A masked batch of blocks under one vocabulary; positions count through all its tokens."""

    def __init__(self, blocks: WordBlocks, masked: MaskedBatch, *, pad_id: int) -> None:
        """Find the words in it."""
        self._masked_blocks = blocks, masked, pad_id
        self.input_ids = _tensor(masked.input_ids)
        self.attention_mask = _tensor((blocks.ids != pad_id).astype(np.int64))
        self.labels = _tensor(masked.labels).flatten()
        self._original = blocks.ids.ravel()
        rows, length = blocks.words.shape
        words = np.where(blocks.words < 0, -1, blocks.words + length * np.arange(rows)[:, None])
        self._at = np.flatnonzero(words.ravel() >= 0)
        _, first, self._owner, self._counts = np.unique(
            words.ravel()[self._at], return_index=True, return_inverse=True, return_counts=True
        )
        self._first = self._at[first]

    def cut(self, parts: int) -> list[tuple["Reading", float]]:
        """Every n-th block to the same part, with its share of the batch."""
        blocks, masked, pad_id = self._masked_blocks
        return [
            (Reading(blocks.rows(slice(i, None, parts)), part, pad_id=pad_id), share)
            for i, (part, share) in enumerate(masked.cut(parts))
        ]

    def hidden(self, model: PreTrainedModel) -> Tensor:
        """Last hidden states, float32, shape (positions, width)."""
        states = model.base_model(self.input_ids, attention_mask=self.attention_mask)[0]
        return states.flatten(0, 1).float()

    def predicted(self, *, restrict_to_masked: bool) -> Tensor:
        """Positions at which tokens are predicted: the masked or all real ones."""
        if restrict_to_masked:
            return torch.nonzero(self.labels != NOT_MASKED).squeeze(1)
        return torch.nonzero(self.attention_mask.flatten()).squeeze(1)

    def word_means(self, hidden: Tensor) -> Tensor:
        """Mean of each word's tokens, shape (words, width); the words are those of all readings."""
        owner, at = _tensor(self._owner), _tensor(self._at)
        sums = hidden.new_zeros(len(self._counts), hidden.shape[1]).index_add(0, owner, hidden[at])
        return sums / _tensor(self._counts).unsqueeze(1)

    def shared_positions(self, other: "Reading", shared: SharedWords) -> tuple[Tensor, Tensor]:
        """Where words stand that are one token here and, with the same meaning, there."""
        ours = shared.student_words[self._original[self._first]]
        theirs = shared.teacher_words[other._original[other._first]]
        alike = (self._counts == 1) & (other._counts == 1) & (ours >= 0) & (ours == theirs)
        return _tensor(self._first[alike]), _tensor(other._first[alike])


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
    parts = {"masked_lm": weights.masked_lm * _cross_entropy(logits, ours.labels[at])}
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
            said, target = logits, _predict(teacher.model, taught[at])
        else:
            here, there = ours.shared_positions(theirs, teacher.shared)
            row = torch.full_like(ours.labels, -1)
            row[at] = torch.arange(len(at), device=at.device)
            known = row[here] >= 0
            said = teacher.shared.student_logits(logits[row[here[known]]], temperature=temperature)
            target = teacher.shared.teacher_logits(_predict(teacher.model, taught[there[known]]))
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
    size = recipe.batch_size
    if len(train[0]) < size or not len(dev[0]) or not settings.total_steps:
        raise StepError(
            f"too little text: {len(train[0])} training and {len(dev[0])} development blocks for "
            f"batches of {size} and {settings.total_steps} steps"
        )
    masker = WordMasker(tokenizers, share=recipe.mask_share)
    pad_ids = [tokenizer.pad_token_id for tokenizer in tokenizers]
    plan = BatchPlan([recipe.block_length] * len(train[0]), batch_size=size, seed=seed)

    def readings(
        blocks: Sequence[WordBlocks], chosen: Sequence[int] | slice, random: np.random.Generator
    ) -> list[Reading]:
        rows = [each.rows(chosen) for each in blocks]
        masked = masker.mask(rows, random)
        return [
            Reading(each, hidden, pad_id=pad_id)
            for each, hidden, pad_id in zip(rows, masked, pad_ids, strict=True)
        ]

    def perplexity(model: PreTrainedModel) -> dict[str, float]:
        random = np.random.default_rng(seed)
        losses, counts = [], []
        for start in range(0, len(dev[0]), size):
            reading = readings(dev, slice(start, start + size), random)[0]
            at = reading.predicted(restrict_to_masked=True)
            logits = _predict(model, reading.hidden(model)[at])
            counts.append(len(at))
            losses.append(_cross_entropy(logits, reading.labels[at]).item() * len(at))
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
        batch_at=lambda step: readings(train, plan.at(step), np.random.default_rng((seed, step))),
        cut=_cut,
        losses=lambda batch: lesson(student, teachers, batch, recipe),
        evaluate=lambda: perplexity(student) | of_teacher,
        checkpoint=checkpoint,
        seed=seed,
        title="general distillation",
    )


def _cut(readings: Sequence[Reading], parts: int) -> list[tuple[list[Reading], float]]:
    """All readings of a batch alike."""
    columns = [reading.cut(parts) for reading in readings]
    return [([part for part, _ in row], row[0][1]) for row in zip(*columns, strict=True)]


def _predict(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits of a frozen masked-LM head, float32, shape (rows, vocabulary)."""
    with torch.no_grad():
        return model.cls(hidden).float()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the masked tokens, in nats; 0 where there are none."""
    total = functional.cross_entropy(logits, labels, ignore_index=NOT_MASKED, reduction="sum")
    return total / (labels != NOT_MASKED).sum().clamp_min(1)


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device())
