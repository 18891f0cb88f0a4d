"""A recipe walked in miniature: its own architecture, random weights, made-up text, a few steps.

It shows that a recipe and this code fit each other before anybody has its corpora, its encoders or
the hardware; the scores mean nothing.
"""

import math
from pathlib import Path
from typing import Any

from training.encoder import train_encoder
from training.encoder_recipe import EncoderFile
from training.recipe import Recipe
from training.recipe_file import load_recipe
from training.run import Road
from training.toy_data import (
    EXAMPLES,
    HEADS,
    write_corpora,
    write_encoder,
    write_raw_text,
    write_reader,
)

BLOCK = {"block_length": 32, "batch_size": 4}
SOURCES = ("source", "base", "model")
"""Keys whose values `from_pretrained` takes."""
Sections = dict[str, Any]


def smoke(
    path: Path, folder: Path, *, steps: int, width: int, vocabulary: int
) -> dict[str, object]:
    """Walk a recipe, all its steps, in a folder of its own.

    Args:
        path: of the recipe. Encoders that it names by `source` or `base`, and readers that it names
            by `model`, become BERTs of 12 layers; narrow students half as wide as those.
        folder: for made-up data, results and packages.
        steps: of the optimizer, at most, in each stage and each encoder.
        width: of the encoders.
        vocabulary: of the encoders; all but the first are uncased.

    Returns:
        What the last step gave.

    Raises:
        TrainingError: as the recipe itself would.
    """
    recipe = load_recipe(path)
    content = recipe.model_dump(mode="json")
    encoders = {source: folder / "hub" / str(i) for i, source in enumerate(_sources(content))}
    for number, (source, encoder) in enumerate(encoders.items()):
        write = write_reader if source in _named(content, "model") else write_encoder
        write(encoder, width=width, vocabulary=vocabulary, lowercase=number > 0)
    data, work = folder / "data", folder / "runs"
    write_corpora(data)
    for shard in _shards(content):
        write_raw_text(data / shard)
    content = _in_miniature(content, encoders, steps, width)
    for section in _sections(content):
        if section.get("narrow"):
            half = {"width": width // 2, "heads": HEADS, "inner_width": 2 * width}
            section["narrow"] |= half
    if isinstance(recipe, Recipe):
        small = Recipe.model_validate(content | {"path": recipe.path})
        return Road(small, data, work, folder / "store").run()
    made = train_encoder(EncoderFile.model_validate(content), data_dir=data, work_dir=work)
    return {"encoder": str(made)}


def _sections(content: object) -> list[Sections]:
    """Every mapping in a recipe, from the outside in."""
    if isinstance(content, list):
        return [section for item in content for section in _sections(item)]
    if not isinstance(content, dict):
        return []
    return [content, *(section for item in content.values() for section in _sections(item))]


def _sources(content: Sections) -> list[str]:
    return list(dict.fromkeys(name for key in SOURCES for name in _named(content, key)))


def _named(content: Sections, key: str) -> list[str]:
    found = [section.get(key) for section in _sections(content)]
    return [source for source in found if isinstance(source, str)]


def _shards(content: Sections) -> set[str]:
    return {
        f"{section['folder']}/{source}-00.txt"
        for section in _sections(content)
        if "sources" in section
        for source in section["sources"]
    }


def _in_miniature(content: Any, encoders: dict[str, Path], steps: int, width: int) -> Any:  # noqa: ANN401
    if isinstance(content, list):
        return [_in_miniature(item, encoders, steps, width) for item in content]
    if not isinstance(content, dict):
        return content
    small = {key: _in_miniature(value, encoders, steps, width) for key, value in content.items()}
    for key in SOURCES:
        if isinstance(small.get(key), str):
            small[key] = str(encoders[small[key]])
    if "tokens" in small:
        tokens = steps * BLOCK["block_length"] * BLOCK["batch_size"]
        small |= BLOCK | {"tokens": tokens}
    if "embedding_size" in small:
        small["embedding_size"] = min(width, small["embedding_size"])
    if "epochs" in small:
        examples = EXAMPLES * sum(split.get("repeat", 1) for split in small["data"])
        small |= {"epochs": 1, "batch_size": math.ceil(examples / steps)}
    return small
