"""training/README.md has a row for every corpus, with its licence and its splits."""

import re
from pathlib import Path

import pytest

from training.datasets import CORPORA

TABLE = {
    line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:-1]]
    for line in (Path(__file__).parents[2] / "training/README.md").read_text("utf-8").splitlines()
    if line.startswith("| `")
}


def row_of(corpus: str) -> str:
    """The row that names a corpus, or the family that it is a member of; the last that fits."""
    fits = [n for n in TABLE if re.fullmatch(re.sub(r"<\w+>", r"[\\w-]+", n), corpus)]
    return fits[-1]


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_corpus_is_in_the_table_with_licence_and_splits(corpus: str) -> None:
    _, licence, _, splits = TABLE[row_of(corpus)]

    assert licence == CORPORA[corpus].licence
    listed = re.sub(r"\([^)]*\)", "", splits)
    assert tuple(split.strip() for split in listed.split(",")) == CORPORA[corpus].splits


def test_the_table_names_no_corpus_that_does_not_exist() -> None:
    assert TABLE.keys() == {row_of(corpus) for corpus in CORPORA}
