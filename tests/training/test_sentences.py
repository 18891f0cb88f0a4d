"""Sentences, pairs and pieces, cut out of longer texts."""

import math
from pathlib import Path

import pytest

from tests.training.toy_models import toy_masking_tokenizer
from training.datasets.examples import LabelledText
from training.datasets.raw_text import TextLine
from training.datasets.sentences import choose_pairs, cut_to_windows
from training.errors import DataError
from training.teacher import load_tokenizer

WORDS = "unu doi trei patru cinci șase șapte opt nouă zece".split()  # noqa: SIM905
LINE = "Ana merge la piață azi. Dan o vede pe Ana. Bine. Ion nu vine până mâine seară!"


def pieces_of(folder: Path, text: str) -> list[LabelledText]:
    """The pieces of a text in windows of six words."""
    toy_masking_tokenizer(WORDS).save_pretrained(folder)
    tokenizer = load_tokenizer(str(folder), max_tokens=8, stride=4)
    return cut_to_windows([LabelledText(text, "MD", rating="1")], tokenizer)


def test_a_long_text_is_cut_into_windows_that_share_nothing(tmp_path: Path) -> None:
    text = " ".join(WORDS)

    pieces = pieces_of(tmp_path, text)

    assert pieces == [
        LabelledText("unu doi trei patru cinci șase", "MD", rating="1"),
        LabelledText("șapte opt nouă zece", "MD", rating="1"),
    ]


def test_a_short_rest_is_left_out_and_a_short_text_is_whole(tmp_path: Path) -> None:
    eight = pieces_of(tmp_path / "eight", " ".join(WORDS[:8]))
    short = pieces_of(tmp_path / "short", " unu  doi ")

    assert [piece.text for piece in eight] == ["unu doi trei patru cinci șase"]
    assert [piece.text for piece in short] == [" unu  doi "]


def test_pairs_are_sentences_that_follow_one_another_and_nobody_scored_them() -> None:
    first = choose_pairs([TextLine(LINE, is_dev=False)], count=2)
    again = choose_pairs([TextLine(LINE, is_dev=False)] * 2, count=2)

    # "Bine." is too short to be a sentence of its own.
    assert {(pair.first, pair.second) for pair in first} == {
        ("Ana merge la piață azi.", "Dan o vede pe Ana."),
        ("Dan o vede pe Ana.", "Ion nu vine până mâine seară!"),
    }
    assert all(math.isnan(pair.score) for pair in first)
    assert [pair.text for pair in first] == [pair.text for pair in again]


def test_development_lines_make_no_pairs() -> None:
    with pytest.raises(DataError, match="holds 0 pairs of sentences, the recipe wants 1"):
        choose_pairs([TextLine(LINE, is_dev=True)], count=1)
