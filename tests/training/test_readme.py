"""The READMEs have a row for every corpus, with licence and splits, and commands that are taken."""

import re
import shlex
from pathlib import Path

import pytest

from training.__main__ import _parser
from training.datasets import CORPORA

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(
    r"^\.venv-train/bin/python -m training (.+)$",
    (ROOT / "README.md").read_text("utf-8"),
    re.MULTILINE,
)
TABLE = {
    line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:-1]]
    for line in (ROOT / "training/README.md").read_text("utf-8").split("\n## ")[0].splitlines()
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


def test_the_readme_shows_how_to_run_and_to_calibrate() -> None:
    assert {command.split()[0] for command in COMMANDS} >= {"run", "calibrate"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_taken(command: str) -> None:
    _parser().parse_args(shlex.split(command, comments=True))
