"""Task-specific distillation: soft targets, gold labels and last hidden states.

Per batch, over the subwords that are not padding (methods of Hinton et al. 2015; Sanh et al. 2019):
    L = soft * T^2 KL(p_t || p_s) + hard * CE(gold, p_s) + hidden * (1 - cos(h_s, h_t))
The teacher runs beside the student on the same batch, so both see the same windows.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from training.batches import BatchPlan
from training.errors import StepError
from training.loop import device, fit
from training.losses import hidden_cosine, soft_cross_entropy
from training.recipe import LossWeights, Stage
from training.teacher import stage_settings
from training.token_batches import NO_TARGET, TokenRow, token_batch


def distill(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    rows: Sequence[TokenRow],
    stage: Stage,
    *,
    weights: LossWeights,
    temperature: float,
    pad_id: int,
    seed: int,
    checkpoint: Path,
    title: str,
) -> list[dict[str, float]]:
    """Train `student` in place; see training.loop.fit.

    Raises:
        StepError: teacher and student name different labels.
    """
    check_same_labels(student, teacher)
    teacher.to(device()).eval()
    plan = BatchPlan([len(row.targets) for row in rows], batch_size=stage.batch_size, seed=seed)

    def losses(chosen: list[int]) -> dict[str, Tensor]:
        batch = token_batch([rows[i] for i in chosen], pad_id=pad_id)
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        with torch.no_grad():
            taught = teacher(**inputs, output_hidden_states=True)
        learnt = student(**inputs, output_hidden_states=True)
        real = batch.attention_mask.bool()
        logits = learnt.logits.float()
        parts = {
            "soft": weights.soft
            * soft_cross_entropy(
                logits[real], taught.logits.float()[real], temperature=temperature
            ),
            "hidden": weights.hidden
            * hidden_cosine(
                learnt.hidden_states[-1].float()[real], taught.hidden_states[-1].float()[real]
            ),
        }
        gold = batch.targets != NO_TARGET
        if gold.any():
            parts["hard"] = weights.hard * functional.cross_entropy(
                logits[gold], batch.targets[gold]
            )
        return parts

    return fit(
        student,
        stage_settings(stage, plan),
        batch_at=plan.at,
        losses=losses,
        evaluate=None,
        checkpoint=checkpoint,
        seed=seed,
        title=title,
    )


def check_same_labels(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Refuse to distil between different label sets.

    Raises:
        StepError: names the labels that only one of the two has.
    """
    ours, theirs = student.config.id2label, teacher.config.id2label
    if ours != theirs:
        odd = set(ours.values()) ^ set(theirs.values())
        raise StepError(f"teacher and student labels differ: {sorted(odd) or 'in their order'}")
