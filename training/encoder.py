"""Encoders: one of Hugging Face's as it is, one that is published here, or one pre-trained now."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from app.contract.manifest import CARD
from training.card import encoder_card
from training.errors import StepError
from training.files import write_text
from training.loop import LoopSettings
from training.masked_lm import pack_blocks, pretrain
from training.recipe import EncoderFile, EncoderRecipe, PretrainRecipe
from training.reproducibility import commit, fingerprint
from training.text_mix import read_mix
from training.vocabulary import train_wordpiece, transplant

logger = logging.getLogger(__name__)
DEV_BLOCKS = 1024  # enough for a perplexity that repeats to within 1 %
PUBLISHED = Path(__file__).parent / "encoders"
DONE = "done.json"


def encoder_key(recipe: EncoderFile) -> str:
    """Short hash of what makes an encoder.

    Its length is left out: it may change while the plateau lasts (training.loop).
    """
    pretrain = recipe.pretrain.model_dump(mode="json", exclude={"tokens", "evaluate_every"})
    return fingerprint([recipe.seed, pretrain])


def find_encoder(recipe: EncoderRecipe, work_dir: Path) -> str:
    """What `from_pretrained` takes: a source, a published encoder, or a folder of this machine.

    A published encoder counts if it was made by this very recipe.
    """
    if recipe.recipe is None:
        return str(recipe.source)
    published = PUBLISHED / recipe.recipe.name
    own = encoder_folder(recipe.recipe, work_dir)
    if not (own / DONE).exists() and _is_made_by(published, recipe.recipe):
        return str(published)
    return str(own)


def encoder_folder(recipe: EncoderFile, work_dir: Path) -> Path:
    """Where an encoder is pre-trained."""
    return work_dir / recipe.name / f"encoder-{encoder_key(recipe)}"


def train_encoder(recipe: EncoderFile, *, data_dir: Path, work_dir: Path) -> Path:
    """Pre-train an encoder unless that is done; resumable.

    Raises:
        StepError: it was done for another number of tokens.
    """
    folder = encoder_folder(recipe, work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / DONE).exists():
        pretrain_encoder(recipe.pretrain, data_dir=data_dir, output=folder, seed=recipe.seed)
        _write_done(folder, recipe)
    if not _is_made_by(folder, recipe):
        raise StepError(
            f"{folder} was pre-trained on another number of tokens than {recipe.pretrain.tokens}; "
            "restore the recipe or remove the folder"
        )
    return folder


def publish_encoder(recipe: EncoderFile, work_dir: Path) -> Path:
    """Copy a pre-trained encoder to `training/encoders`, its weights in fp16."""
    folder = encoder_folder(recipe, work_dir)
    target = PUBLISHED / recipe.name
    shutil.rmtree(target, ignore_errors=True)
    AutoModelForMaskedLM.from_pretrained(folder).half().save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    shutil.copyfile(folder / "history.json", target / "history.json")
    shutil.copyfile(folder / DONE, target / DONE)
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    write_text(target / CARD, encoder_card(recipe, history[-1]))
    return target


def _is_made_by(folder: Path, recipe: EncoderFile) -> bool:
    try:
        done = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return (done["key"], done["tokens"]) == (encoder_key(recipe), recipe.pretrain.tokens)


def _write_done(folder: Path, recipe: EncoderFile) -> None:
    done = {"key": encoder_key(recipe), "tokens": recipe.pretrain.tokens, "commit": commit()}
    write_text(folder / DONE, json.dumps(done, indent=1))


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
    lines = (line.text for line in read_mix(data_dir, recipe.text) if not line.is_dev)
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
        lines = list(read_mix(data_dir, recipe.text))
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
