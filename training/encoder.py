"""Encoders: one of Hugging Face's as it is, one that is published here, or one made now."""

import json
import shutil
from pathlib import Path

from transformers import AutoModelForMaskedLM, AutoTokenizer

from app.contract.manifest import CARD
from training import processes
from training.card import encoder_card
from training.encoder_recipe import (
    DistilRecipe,
    EncoderFile,
    EncoderRecipe,
    MiniAlbertRecipe,
    PretrainRecipe,
)
from training.encoder_training import distil, pretrain_encoder, recurse
from training.errors import StepError
from training.files import write_text
from training.reproducibility import commit, fingerprint
from training.sentence_vectors import teach_sentences
from training.task_model import load_trunk

PUBLISHED = Path(__file__).parent / "encoders"
DONE = "done.json"


def encoder_key(recipe: EncoderFile) -> str:
    """Short hash of what makes an encoder.

    Its length in tokens is left out: it may change while the plateau lasts (training.loop). So are
    options at their defaults, so that a new option leaves all names as they were.
    """
    free = {"tokens", "evaluate_every", "teachers", "encoder"}
    section = recipe.section.model_dump(mode="json", exclude=free, exclude_defaults=True)
    content: list[object] = [recipe.seed, section]
    if recipe.section.parents:
        content.append([encoder_identity(parent) for parent in recipe.section.parents])
    return fingerprint(content)


def encoder_identity(recipe: EncoderRecipe) -> list[object]:
    """What tells an encoder from all others, for the hash of what is made from it."""
    file = recipe.recipe
    return [recipe.source, file and [encoder_key(file), file.section.tokens]]


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
    """Where an encoder is made."""
    return work_dir / recipe.name / f"encoder-{encoder_key(recipe)}"


def ready_encoder(recipe: EncoderRecipe, *, data_dir: Path, work_dir: Path) -> str:
    """What `from_pretrained` takes, made first if it is neither given nor published; resumable.

    Raises:
        StepError: see train_encoder.
    """
    source = find_encoder(recipe, work_dir)
    if recipe.recipe and Path(source).is_relative_to(work_dir):
        train_encoder(recipe.recipe, data_dir=data_dir, work_dir=work_dir)
    return source


def train_encoder(recipe: EncoderFile, *, data_dir: Path, work_dir: Path) -> Path:
    """Make an encoder, and those that it is made from, unless that is done; resumable.

    Raises:
        StepError: it was done for another number of tokens, or cannot be made as its recipe says.
    """
    folder = encoder_folder(recipe, work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if not processes.agreed((folder / DONE).exists()):
        section = recipe.section
        sources = [
            ready_encoder(parent, data_dir=data_dir, work_dir=work_dir)
            for parent in section.parents
        ]
        if isinstance(section, PretrainRecipe):
            pretrain_encoder(section, data_dir=data_dir, output=folder, seed=recipe.seed)
        elif isinstance(section, DistilRecipe):
            distil(section, sources, data_dir=data_dir, output=folder, seed=recipe.seed)
        elif isinstance(section, MiniAlbertRecipe):
            recurse(section, *sources, data_dir=data_dir, output=folder, seed=recipe.seed)
        else:
            teach_sentences(section, *sources, data_dir=data_dir, output=folder, seed=recipe.seed)
        if processes.is_main():
            _write_done(folder, recipe)
        processes.wait()
    if not _is_made_by(folder, recipe):
        raise StepError(
            f"{folder} was trained on another number of tokens than {recipe.section.tokens}; "
            "restore the recipe or remove the folder"
        )
    return folder


def publish_encoder(recipe: EncoderFile, work_dir: Path) -> Path:
    """Copy a finished encoder to `training/encoders`, its weights in fp16."""
    folder = encoder_folder(recipe, work_dir)
    target = PUBLISHED / recipe.name
    shutil.rmtree(target, ignore_errors=True)
    masked_lm = recipe.section in (recipe.pretrain, recipe.distil)
    model = AutoModelForMaskedLM.from_pretrained(folder) if masked_lm else load_trunk(str(folder))
    model.half().save_pretrained(target)
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
    return (done["key"], done["tokens"]) == (encoder_key(recipe), recipe.section.tokens)


def _write_done(folder: Path, recipe: EncoderFile) -> None:
    done = {"key": encoder_key(recipe), "tokens": recipe.section.tokens, "commit": commit()}
    write_text(folder / DONE, json.dumps(done, indent=1))
