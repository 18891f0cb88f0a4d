"""Unlabelled text as a recipe mixes it: shards of raw text and the texts of labelled corpora.

Much of what people write on the web has no diacritics. A share of the lines loses them, chosen by a
hash, so that one encoder reads both.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.contract.normalization import normalize
from training.datasets import CORPORA, read_split
from training.datasets.examples import Example, Question
from training.datasets.raw_text import DEV_SHARE, TextLine, read_lines
from training.datasets.splits import stable_fraction
from training.sections import RawTextRecipe


def read_mix(data_dir: Path, recipe: RawTextRecipe) -> Iterator[TextLine]:
    """Yield normalized lines, shards first, then corpora, in the recipe's order.

    Raises:
        DataError: something is missing or malformed.
    """
    for line in _lines(data_dir, recipe):
        # A hash of its own: the text's is spent on sources and the development part.
        if stable_fraction(f"diacritics\n{line.text}") < recipe.without_diacritics:
            yield TextLine(without_diacritics(line.text), line.is_dev)
        else:
            yield line


def without_diacritics(text: str) -> str:
    """The base letters of a text: `ș` becomes `s`, `ñ` becomes `n`."""
    letters = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")


def _texts(examples: Sequence[Example]) -> Iterator[str]:
    """Of each example its text; a context behind the questions about it, once."""
    asked: dict[str, list[str]] = {}
    for example in examples:
        if isinstance(example, Question):
            asked.setdefault(example.context, []).append(example.question)
        else:
            yield example.text
    for context, questions in asked.items():
        yield "\n".join([*questions, context])


def _lines(data_dir: Path, recipe: RawTextRecipe) -> Iterator[TextLine]:
    yield from read_lines(data_dir / recipe.folder, recipe.sources)
    for split in recipe.corpora:
        kind = CORPORA[split.corpus].kind
        for whole in _texts(read_split(data_dir, split.corpus, split.split, kind)):
            for raw in whole.splitlines():
                text = normalize(" ".join(raw.split())).text
                if text:
                    yield TextLine(text, is_dev=stable_fraction(text) >= 1 - DEV_SHARE)
