"""The teacher: an encoder with a head, fine-tuned in stages on gold labels."""

import json
from pathlib import Path

from torch import Tensor
from transformers import AutoTokenizer

from app.contract.encoding import Encoder
from app.contract.heads import Head
from app.contract.manifest import ENCODER_FILES
from app.contract.tokenization import SubwordTokenizer
from training import processes
from training.batches import BatchPlan
from training.evaluate import Watch
from training.files import write_text
from training.hub import resolve_model
from training.loop import LoopSettings, fit
from training.losses import gold_loss
from training.pqrnn import Pqrnn
from training.recipe import Stage, TeacherRecipe
from training.student import reading_apart
from training.task_model import TaskModel, new_model
from training.units import UnitSet

EVALUATE_EVERY = 500


def load_tokenizer(
    source: str, *, max_tokens: int, stride: int, reads_apart: bool = False
) -> SubwordTokenizer:
    """The tokenizer of a Hugging Face id or path, under the contract's normalization."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(source), use_fast=True)
    return SubwordTokenizer(
        tokenizer.backend_tokenizer,
        max_tokens=max_tokens,
        stride=stride,
        pad_id=tokenizer.pad_token_id,
        reads_apart=reads_apart,
    )


def start_teacher(recipe: TeacherRecipe, source: str, head: Head, *, seed: int) -> TaskModel:
    """A teacher before it is fine-tuned.

    Args:
        recipe: says how it reads pairs.
        source: its encoder, see training.hub.resolve_model.
        head: of the task.
        seed: of the outputs.
    """
    model = new_model(source, head, dropout=recipe.dropout, seed=seed)
    return reading_apart(model) if recipe.pairs == "apart" else model


def fine_tune(
    model: TaskModel,
    units: UnitSet,
    stage: Stage,
    *,
    seed: int,
    evaluate: Watch | None = None,
    checkpoint: Path,
    title: str,
) -> list[dict[str, float]]:
    """Train `model` in place on gold labels; see training.loop.fit."""
    plan = BatchPlan(units.lengths, batch_size=stage.batch_size, seed=seed)

    def losses(chosen: list[int]) -> dict[str, Tensor]:
        batch = units.batch(chosen)
        decisions = batch.decisions(model(**batch.inputs), model.head)
        found = {name: gold_loss(d, batch.targets[name]) for name, d in decisions.items()}
        return {name: loss for name, loss in found.items() if loss is not None}

    return fit(
        model,
        stage_settings(stage, plan, evaluate),
        batch_at=plan.at,
        losses=losses,
        evaluate=evaluate,
        checkpoint=checkpoint,
        seed=seed,
        title=title,
    )


def stage_settings(stage: Stage, plan: BatchPlan, evaluate: Watch | None) -> LoopSettings:
    """The loop of a stage: linear warm-up, then linear decay to the end.

    What is evaluated on the way is so every epoch, and every EVALUATE_EVERY steps of a long one.
    """
    often = min(plan.steps_per_epoch, EVALUATE_EVERY) if evaluate else plan.steps_per_epoch
    return LoopSettings(
        total_steps=stage.epochs * plan.steps_per_epoch,
        learning_rate=stage.learning_rate,
        warmup_share=stage.warmup_share,
        decay_share=1 - stage.warmup_share,
        weight_decay=stage.weight_decay,
        betas=(0.9, 0.999),
        evaluate_every=often,
    )


def save_model(model: TaskModel | Pqrnn, tokenizer: Encoder, folder: Path, history: list) -> None:
    """Write model, what its encoder reads, and history, of several processes once."""
    if not processes.is_main():
        return
    model.save(folder)
    tokenizer.save(folder / ENCODER_FILES[tokenizer.kind])
    write_text(folder / "history.json", json.dumps(history, indent=1))
