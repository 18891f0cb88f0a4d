"""The teacher: an encoder with a token-classification head, fine-tuned in stages."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
from transformers.modeling_utils import PreTrainedModel

from app.contract.tokenization import SubwordTokenizer
from training.batches import BatchPlan
from training.hub import resolve_model
from training.loop import LoopSettings, fit
from training.recipe import Stage
from training.student import encoder_layers, set_dropout
from training.token_batches import NO_TARGET, TokenRow, token_batch


def load_tokenizer(source: str, *, max_tokens: int, stride: int) -> SubwordTokenizer:
    """The tokenizer of a Hugging Face id or path, under the contract's normalization."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(source), use_fast=True)
    return SubwordTokenizer(
        tokenizer.backend_tokenizer,
        max_tokens=max_tokens,
        stride=stride,
        pad_id=tokenizer.pad_token_id,
    )


def new_teacher(
    source: str, labels: Sequence[str], *, dropout: float, seed: int
) -> PreTrainedModel:
    """The encoder with a fresh head of `len(labels)` outputs.

    Raises:
        StepError: an architecture without a stack of layers to copy students from.
    """
    torch.manual_seed(seed)
    path = resolve_model(source)
    config = AutoConfig.from_pretrained(
        path,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    set_dropout(config, dropout)
    model = AutoModelForTokenClassification.from_pretrained(
        path,
        config=config,
        attn_implementation="eager",
        ignore_mismatched_sizes=True,  # a head for other labels is replaced
    )
    encoder_layers(model)  # refuses what no student could be made of, before training it
    return model


def fine_tune(
    model: PreTrainedModel,
    rows: Sequence[TokenRow],
    stage: Stage,
    *,
    pad_id: int,
    seed: int,
    checkpoint: Path,
    title: str,
) -> list[dict[str, float]]:
    """Train `model` in place on gold labels; see training.loop.fit."""
    plan = BatchPlan([len(row.targets) for row in rows], batch_size=stage.batch_size, seed=seed)

    def losses(chosen: list[int]) -> dict[str, torch.Tensor]:
        batch = token_batch([rows[i] for i in chosen], pad_id=pad_id)
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=NO_TARGET
        )
        return {"cross_entropy": loss}

    return fit(
        model,
        stage_settings(stage, plan),
        batch_at=plan.at,
        losses=losses,
        evaluate=None,
        checkpoint=checkpoint,
        seed=seed,
        title=title,
    )


def stage_settings(stage: Stage, plan: BatchPlan) -> LoopSettings:
    """The loop of a stage: linear warm-up, then linear decay to the end."""
    return LoopSettings(
        total_steps=stage.epochs * plan.steps_per_epoch,
        learning_rate=stage.learning_rate,
        warmup_share=stage.warmup_share,
        decay_share=1 - stage.warmup_share,
        weight_decay=stage.weight_decay,
        betas=(0.9, 0.999),
        evaluate_every=plan.steps_per_epoch,
    )


def save_model(
    model: PreTrainedModel, tokenizer: SubwordTokenizer, folder: Path, history: list
) -> None:
    """Write a folder that `from_pretrained` reads, with the tokenizer and the history."""
    model.save_pretrained(folder)
    tokenizer.save(folder / "tokenizer.json")
    (folder / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")


def load_model(folder: Path) -> PreTrainedModel:
    """Read a model written by `save_model`."""
    return AutoModelForTokenClassification.from_pretrained(folder, attn_implementation="eager")
