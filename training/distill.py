"""Task-specific distillation: soft targets, gold labels and last hidden states.

Per batch, over the units of its examples (Hinton et al. 2015; Sanh et al. 2019):
    L = soft * T^2 KL(p_t || p_s) + hard * CE(gold, p_s) + hidden * (1 - cos(h_s, h_t))
      + attention and hidden states of matched layers (training.layer_losses)
Several teachers are an ensemble: p_t is the mean of their probabilities at the units that they
share with the student, whatever their vocabularies. Values take squared errors instead. Hidden
states are compared with teachers of the student's own vocabulary and width, layers with the first
teacher's.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from app.contract.heads import AnswerHead
from training.batches import BatchPlan
from training.errors import StepError
from training.evaluate import Watch
from training.layer_losses import LayerMatch
from training.lessons import Lesson, Lessons
from training.loop import device, fit
from training.losses import gold_loss, hidden_cosine, soft_cross_entropy
from training.pqrnn import Pqrnn
from training.recipe import LossWeights, Stage
from training.task_model import HIDDEN, TaskModel
from training.teacher import stage_settings
from training.units import Batch, UnitSet, align

logger = logging.getLogger(__name__)
SHARED_UNITS = 0.5
"""Of the student's units a teacher must read at least this share."""


@dataclass(frozen=True)
class Teacher:
    """A teacher of a student, on the student's examples.

    Attributes:
        model: in evaluation mode.
        units: the examples under its own vocabulary; the student's own set if they share one.
        aligned: per example, for each of the student's words its own, or -1; None if they read
            the same rows of tokens, nothing if they do not decide about words.
        lessons: what it has said so far; not of answers, whose distributions are as long as the
            longest window of their batch.
    """

    model: TaskModel
    units: UnitSet
    aligned: Sequence[NDArray[np.int64]] | None
    lessons: Lessons = field(default_factory=Lessons)

    @classmethod
    def of(cls, name: str, model: TaskModel, own: UnitSet, student: UnitSet) -> "Teacher":
        """Put a teacher beside a student.

        Raises:
            StepError: the two cut the text into different words.
        """
        model.to(device()).eval()
        if own.reads_like(student):
            return cls(model, student, None)
        if isinstance(model.head, AnswerHead):
            raise StepError(
                f"{name} and the student read other tokens, so starts and ends of answers cannot "
                "be compared; start the student from its teacher's layers, or as a narrow body"
            )
        if not any(output.per_token for output in model.head.outputs):
            return cls(model, own, ())
        aligned = align(student, own)
        shared = float(np.mean(np.concatenate(aligned) >= 0))
        logger.info("%s reads %.1f %% of the student's words", name, 100 * shared)
        if shared < SHARED_UNITS:
            raise StepError(
                f"{name} and the student cut texts into different words: only {100 * shared:.0f} "
                "% start at the same place; choose a teacher with a similar pre-tokenizer"
            )
        return cls(model, own, aligned)

    def teach(self, chosen: Sequence[int], batch: Batch) -> Lesson:
        """What it says about the student's batch.

        Args:
            chosen: indices of the examples.
            batch: the student's batch of them.
        """
        if isinstance(self.model.head, AnswerHead):
            return self._answer(chosen, batch)
        lesson = self.lessons.recall(chosen)
        if lesson is None:
            lesson = self._answer(chosen, batch)
            self.lessons.keep(chosen, batch, self.model.head, lesson)
        return lesson

    @torch.no_grad()
    def show(self, batch: Batch) -> tuple[Lesson, dict[str, Tensor]]:
        """What it says about a batch that it reads as the student does, and all its layers."""
        outputs = self.model.all_layers(**batch.inputs)
        return self._lesson(outputs, batch), outputs

    def _lesson(self, outputs: dict[str, Tensor], batch: Batch) -> Lesson:
        real = batch.inputs["attention_mask"].bool()
        return batch.decisions(outputs, self.model.head), outputs[HIDDEN].float()[real]

    @torch.no_grad()
    def _answer(self, chosen: Sequence[int], batch: Batch) -> Lesson:
        if self.aligned is None:
            return self._lesson(self.model(**batch.inputs), batch)
        own = self.units.batch(chosen)
        decisions = own.decisions(self.model(**own.inputs), self.model.head)
        for output in self.model.head.outputs:
            if output.per_token:
                rows = decisions[output.name]
                nothing = torch.full_like(rows[:1], torch.nan)
                at = self._words_at(chosen, self.aligned)
                decisions[output.name] = torch.cat([rows, nothing])[at]
        return decisions, None

    def _words_at(self, chosen: Sequence[int], aligned: Sequence[NDArray[np.int64]]) -> Tensor:
        """For each of the student's words in a batch the row of this teacher's, or -1."""
        found, offset = [], 0
        for index in chosen:
            found.append(np.where(aligned[index] >= 0, aligned[index] + offset, -1))
            offset += len(self.units.starts(index))
        return torch.from_numpy(np.concatenate(found)).to(device())


def distill(
    student: TaskModel | Pqrnn,
    teachers: Sequence[Teacher],
    units: UnitSet,
    stage: Stage,
    *,
    weights: LossWeights,
    temperature: float,
    seed: int,
    evaluate: Watch | None = None,
    checkpoint: Path,
    title: str,
) -> list[dict[str, float]]:
    """Train `student` in place; see training.loop.fit.

    Raises:
        StepError: hidden states or layers are to be compared, and no teacher's can be; see also
            fit.
    """
    plan = BatchPlan(units.lengths, batch_size=stage.batch_size, seed=seed)
    width = student.hidden_size
    if weights.hidden and not any(
        teacher.aligned is None and teacher.model.hidden_size == width for teacher in teachers
    ):
        raise StepError(
            f"{title}: no teacher has the student's vocabulary and width ({width}), so hidden "
            "states cannot be compared; set weights.hidden to 0"
        )
    match = _layer_match(student, teachers[0], weights, title)

    def losses(chosen: list[int]) -> dict[str, Tensor]:
        batch = units.batch(chosen)
        lessons = [teacher.teach(chosen, batch) for teacher in teachers[match is not None :]]
        parts: dict[str, Tensor] = {}
        if match is None:
            outputs = student(**batch.inputs)
        else:
            lesson, shown = teachers[0].show(batch)
            lessons = [lesson, *lessons]
            outputs = student.all_layers(**batch.inputs)
            parts |= match(outputs, shown, batch.inputs["attention_mask"].bool())
        for name, ours in batch.decisions(outputs, student.head).items():
            taught = ensemble([said[name] for said, _ in lessons], temperature=temperature)
            told = ~taught[:, 0].isnan()
            if told.any():
                soft = _soft_loss(ours[told], taught[told], temperature=temperature)
                parts[f"soft {name}"] = weights.soft * soft
            hard = gold_loss(ours, batch.targets[name])
            if hard is not None:
                parts[f"hard {name}"] = weights.hard * hard
        real = batch.inputs["attention_mask"].bool()
        mine = outputs[HIDDEN].float()[real]
        cosines = [
            hidden_cosine(mine, hidden)
            for _, hidden in lessons
            if hidden is not None and hidden.shape[-1] == width
        ]
        if cosines:
            parts["hidden"] = weights.hidden * torch.stack(cosines).mean()
        return parts

    return fit(
        student if match is None else nn.ModuleDict({"student": student, "match": match}),
        stage_settings(stage, plan, evaluate),
        batch_at=plan.at,
        losses=losses,
        evaluate=evaluate,
        checkpoint=checkpoint,
        seed=seed,
        title=title,
    )


def _layer_match(
    student: TaskModel | Pqrnn, teacher: Teacher, weights: LossWeights, title: str
) -> LayerMatch | None:
    if not weights.compares_layers:
        return None
    if teacher.aligned is not None or not isinstance(student, TaskModel):
        raise StepError(
            f"{title}: the first teacher has another vocabulary than the student, so layers cannot "
            "be compared; set weights.attention and weights.states to 0"
        )
    return LayerMatch(student, teacher.model, weights)


def ensemble(decisions: Sequence[Tensor], *, temperature: float) -> Tensor:
    """What several teachers say together (Mode A: probabilities averaged unit by unit).

    Args:
        decisions: per teacher logits of shape (units, labels), or values of shape (units, 1); rows
            of NaN where it is silent.
        temperature: of the softmax.

    Returns:
        Mean probabilities, or values, of the teachers that speak; NaN where none does.
    """
    stacked = torch.stack(list(decisions))
    if stacked.shape[-1] > 1:
        stacked = torch.softmax(stacked / temperature, dim=-1)
    return stacked.nanmean(dim=0)


def _soft_loss(ours: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    if taught.shape[-1] > 1:
        return soft_cross_entropy(ours, taught, temperature=temperature)
    return functional.mse_loss(ours, taught)
