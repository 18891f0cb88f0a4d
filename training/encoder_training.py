"""From raw text to an encoder: vocabulary, blocks, training; resumable."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training import processes
from training.encoder_recipe import (
    DistilRecipe,
    MaskedLmRecipe,
    MiniAlbertRecipe,
    PretrainRecipe,
)
from training.errors import StepError
from training.general_distillation import Teacher, distil_encoder, load_teacher
from training.hub import resolve_model
from training.layer_distillation import distil_layers
from training.loop import LoopSettings
from training.masked_lm import pack_blocks, pretrain
from training.minialbert import start_from
from training.reproducibility import ROOT
from training.student import copy_layers
from training.text_mix import read_mix
from training.vocabulary import train_wordpiece, transplant
from training.word_blocks import WordBlocks, pack_words

logger = logging.getLogger(__name__)
DEV_BLOCKS = 1024  # enough for a perplexity that repeats to within 1 %
START_BLOCKS = 256
"""Of the text, to fit a student's first weights to."""
Arrays = dict[str, NDArray[Any]]


def pretrain_encoder(recipe: PretrainRecipe, *, data_dir: Path, output: Path, seed: int) -> None:
    """Train a vocabulary, move the base model's body under it and pre-train; resumable.

    Afterwards `output` is a folder that `from_pretrained` reads: model, tokenizer, and
    `history.json` with the development perplexity over time.
    """
    with processes.main_first():
        tokenizer = _tokenizer(recipe, data_dir, output)

    def pack(texts: Iterable[str]) -> Arrays:
        return {"": pack_blocks(texts, tokenizer, block_length=recipe.block_length)}

    with processes.main_first():
        blocks = _packed(recipe, pack, data_dir, output)
    model = transplant(
        recipe.base,
        tokenizer,
        config=recipe.config,
        package=ROOT / recipe.start if recipe.start else None,
    )
    pretrain(
        model,
        tokenizer,
        train_blocks=blocks["train"],
        dev_blocks=blocks["dev"][:DEV_BLOCKS],
        settings=_settings(recipe),
        batch_size=recipe.batch_size,
        mask_share=recipe.mask_share,
        seed=seed,
        checkpoint=output / "checkpoint.pt",
    )
    if processes.is_main():
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)


def distil(
    recipe: DistilRecipe, sources: Sequence[str], *, data_dir: Path, output: Path, seed: int
) -> None:
    """Distil an encoder from those in `sources`; see `pretrain_encoder`.

    Raises:
        StepError: a teacher that cannot teach, or a layer that the first one does not have.
    """
    models = [load_teacher(source) for source in sources]
    tokenizers = [AutoTokenizer.from_pretrained(resolve_model(source)) for source in sources]
    student = copy_layers(models[0], recipe.layers).requires_grad_(True)
    teachers = [Teacher(models[0])] + [
        Teacher.second(model, tokenizer, student=student, student_tokenizer=tokenizers[0])
        for model, tokenizer in zip(models[1:], tokenizers[1:], strict=True)
    ]

    def pack(texts: Iterable[str]) -> Arrays:
        readings = pack_words(texts, tokenizers, block_length=recipe.block_length)
        return {
            f"_{field}_{k}": getattr(reading, field)
            for k, reading in enumerate(readings)
            for field in ("ids", "words")
        }

    with processes.main_first():
        stored = _packed(recipe, pack, data_dir, output)

    def blocks(part: str) -> list[WordBlocks]:
        return [
            WordBlocks(stored[f"{part}_ids_{k}"], stored[f"{part}_words_{k}"])
            for k in range(len(sources))
        ]

    distil_encoder(
        student,
        teachers,
        tokenizers,
        train=blocks("train"),
        dev=[reading.rows(slice(DEV_BLOCKS)) for reading in blocks("dev")],
        recipe=recipe,
        settings=_settings(recipe),
        seed=seed,
        checkpoint=output / "checkpoint.pt",
    )
    if processes.is_main():
        student.save_pretrained(output)
        tokenizers[0].save_pretrained(output)


def recurse(
    recipe: MiniAlbertRecipe, source: str, *, data_dir: Path, output: Path, seed: int
) -> None:
    """Distil a MiniALBERT from the encoder in `source`; see `pretrain_encoder`.

    Its masked-LM head is dropped in the end.

    Raises:
        StepError: a teacher that cannot teach, or a layer that it does not have.
    """
    teacher = load_teacher(source, predicts=recipe.weights.predict)
    depth = teacher.config.num_hidden_layers
    if max(recipe.layers) >= depth:
        raise StepError(f"layers {list(recipe.layers)}: the teacher has layers 0 to {depth - 1}")
    width = teacher.config.hidden_size
    if recipe.embedding_size > width:
        raise StepError(f"embedding_size {recipe.embedding_size}: the teacher is {width} wide")
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(source))

    def pack(texts: Iterable[str]) -> Arrays:
        (words,) = pack_words(texts, [tokenizer], block_length=recipe.block_length)
        return {"_ids": words.ids, "_words": words.words}

    with processes.main_first():
        stored = _packed(recipe, pack, data_dir, output)
    train, dev = (WordBlocks(stored[f"{p}_ids"], stored[f"{p}_words"]) for p in ("train", "dev"))
    torch.manual_seed(seed)
    student = start_from(
        teacher,
        layers=recipe.layers,
        embedding_size=recipe.embedding_size,
        adapter_size=recipe.adapter_size,
        input_ids=torch.from_numpy(train.ids[:START_BLOCKS].astype(np.int64)),
    )
    distil_layers(
        student,
        teacher,
        tokenizer,
        train=train,
        dev=dev.rows(slice(DEV_BLOCKS)),
        recipe=recipe,
        settings=_settings(recipe),
        seed=seed,
        checkpoint=output / "checkpoint.pt",
    )
    if processes.is_main():
        student.base_model.save_pretrained(output)
        tokenizer.save_pretrained(output)


def _settings(recipe: MaskedLmRecipe) -> LoopSettings:
    return LoopSettings(
        total_steps=recipe.tokens // (recipe.batch_size * recipe.block_length),
        learning_rate=recipe.learning_rate,
        warmup_share=recipe.warmup_share,
        decay_share=recipe.decay_share,
        evaluate_every=recipe.evaluate_every,
    )


def _tokenizer(recipe: PretrainRecipe, data_dir: Path, output: Path) -> PreTrainedTokenizerFast:
    if (output / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(output)
    lines = (line.text for line in read_mix(data_dir, recipe.text) if not line.is_dev)
    tokenizer = train_wordpiece(
        lines,
        size=recipe.vocabulary_size,
        lowercase=recipe.lowercase,
        max_length=recipe.max_length,
    )
    tokenizer.save_pretrained(output)
    return tokenizer


def _packed(
    recipe: MaskedLmRecipe,
    pack: Callable[[Iterable[str]], Arrays],
    data_dir: Path,
    output: Path,
) -> Arrays:
    """What `pack` makes of the recipe's text, under `train` and `dev`; kept on disk."""
    cache = output / "blocks.npz"
    if not cache.exists():
        lines = list(read_mix(data_dir, recipe.text))
        words = sum(len(line.text.split()) for line in lines if not line.is_dev)
        logger.info("training text: %d words", words)
        packed = {
            f"{part}{name}": array
            for part, is_dev in (("train", False), ("dev", True))
            for name, array in pack(line.text for line in lines if line.is_dev is is_dev).items()
        }
        unfinished = output / "blocks.tmp.npz"
        np.savez(unfinished, allow_pickle=False, **packed)
        unfinished.rename(cache)
    with np.load(cache, allow_pickle=False) as stored:
        blocks = dict(stored)
    logger.info("text packed: %s", {name: len(array) for name, array in blocks.items()})
    return blocks
