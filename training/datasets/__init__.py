"""Readers of the corpora: one file each, with source, licence and splits in its docstring."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.datasets import ronec
from training.datasets.examples import TaggedSentence
from training.datasets.splits import Split
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Corpus:
    """A labelled corpus: how to read it and which splits it has."""

    read: Callable[[Path, str], list[TaggedSentence]]
    splits: tuple[str, ...]
    licence: str


CORPORA = {"ronec": Corpus(ronec.read, tuple(ronec.FILES), "MIT")}


def read_split(data_dir: Path, corpus: str, split: str) -> list[TaggedSentence]:
    """Read a split or a slice of one, e.g. `valid[60%:]`.

    Raises:
        DataError: missing or malformed data, or a slice that leaves nothing.
    """
    part = Split.parse(split)
    examples = list(part.cut(CORPORA[corpus].read(data_dir, part.name)))
    if not examples:
        raise DataError(f"{corpus} {split}: no example")
    return examples
