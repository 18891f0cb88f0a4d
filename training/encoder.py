"""The encoder step: a Hugging Face encoder as it is, or one pre-trained here on raw text."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.datasets.raw_text import read_lines
from training.loop import LoopSettings
from training.masked_lm import pack_blocks, pretrain
from training.recipe import PretrainRecipe
from training.vocabulary import train_wordpiece, transplant

logger = logging.getLogger(__name__)
DEV_BLOCKS = 1024  # enough for a perplexity that repeats to within 1 %


def pretrain_encoder(recipe: PretrainRecipe, *, data_dir: Path, output: Path, seed: int) -> None:
    """Train a vocabulary, move the base model's body under it and pre-train; resumable.

    Afterwards `output` is a folder that `from_pretrained` reads: model, tokenizer, and
    `history.json` with the development perplexity over time.
    """
    tokenizer = _tokenizer(recipe, data_dir, output)
    blocks = _blocks(recipe, tokenizer, data_dir, output)
    logger.info("text packed: %s", {k: len(v) for k, v in blocks.items()})
    model = transplant(recipe.base, tokenizer, config=recipe.config)
    pretrain(
        model,
        tokenizer,
        train_blocks=blocks["train"],
        dev_blocks=blocks["dev"][:DEV_BLOCKS],
        settings=LoopSettings(
            total_steps=recipe.tokens // (recipe.batch_size * recipe.block_length),
            learning_rate=recipe.learning_rate,
            warmup_share=recipe.warmup_share,
            decay_share=recipe.decay_share,
            evaluate_every=recipe.evaluate_every,
        ),
        batch_size=recipe.batch_size,
        mask_share=recipe.mask_share,
        seed=seed,
        checkpoint=output / "checkpoint.pt",
    )
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _tokenizer(recipe: PretrainRecipe, data_dir: Path, output: Path) -> PreTrainedTokenizerFast:
    if (output / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(output)
    folder = data_dir / recipe.text.folder
    lines = (line.text for line in read_lines(folder, recipe.text.sources) if not line.is_dev)
    tokenizer = train_wordpiece(
        lines,
        size=recipe.vocabulary_size,
        lowercase=recipe.lowercase,
        max_length=recipe.max_length,
    )
    tokenizer.save_pretrained(output)
    return tokenizer


def _blocks(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerFast, data_dir: Path, output: Path
) -> dict[str, NDArray[np.int32]]:
    cache = output / "blocks.npz"
    if not cache.exists():
        lines = list(read_lines(data_dir / recipe.text.folder, recipe.text.sources))
        words = sum(len(line.text.split()) for line in lines if not line.is_dev)
        logger.info("training text: %d words", words)
        parts = {
            name: pack_blocks(
                (line.text for line in lines if line.is_dev is is_dev),
                tokenizer,
                block_length=recipe.block_length,
            )
            for name, is_dev in (("train", False), ("dev", True))
        }
        unfinished = output / "blocks.tmp.npz"
        np.savez(unfinished, train=parts["train"], dev=parts["dev"])
        unfinished.rename(cache)
    with np.load(cache, allow_pickle=False) as stored:
        return dict(stored)
