"""Sentences, pairs and pieces, cut out of longer texts."""

import math
from pathlib import Path

import pytest

from tests.training.tiny_corpus import recipe_content, write_recipe
from tests.training.toy_models import toy_masking_tokenizer
from training.data import RoadData
from training.datasets.examples import LabelledText
from training.datasets.raw_text import TextLine
from training.datasets.sentences import choose_pairs, cut_to_windows
from training.errors import DataError, RecipeError
from training.recipe import Recipe, Stage
from training.recipe_file import load_recipe
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


def test_a_stage_reads_texts_in_pieces_if_it_says_so(tmp_path: Path) -> None:
    toy_masking_tokenizer(WORDS).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), max_tokens=8, stride=4)
    folder = tmp_path / "moroco" / "train"
    folder.mkdir(parents=True)
    (folder / "samples.txt").write_text(f"1\t{' '.join(WORDS)}\n", encoding="utf-8")
    (folder / "dialect_labels.txt").write_text("1\t2\n", encoding="utf-8")
    data = [{"corpus": "moroco", "split": "train"}]
    common = {"data": data, "epochs": 1, "batch_size": 1, "learning_rate": 1e-3}
    whole, pieces = (Stage(long_texts=way, **common) for way in ("cut", "pieces"))
    corpora = RoadData(Recipe.model_construct(task="dialect"), tmp_path)
    (tmp_path / "moroco" / "validation").mkdir()
    for name in ("samples.txt", "dialect_labels.txt"):
        (tmp_path / "moroco" / "validation" / name).write_text("9\t1\n", encoding="utf-8")

    assert len(corpora.examples(whole, tokenizer)) == 1
    assert [e.text.count(" ") + 1 for e in corpora.examples(pieces, tokenizer)] == [6, 4]


def test_only_texts_with_a_class_are_read_in_pieces(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    for model in (content["teachers"]["teacher-tiny"], content["students"]["distil-tiny"]):
        model["stages"][0]["long_texts"] = "pieces"

    with pytest.raises(RecipeError) as refusal:
        load_recipe(write_recipe(tmp_path, content))

    assert "teachers.teacher-tiny.stages.0.long_texts: ner has none" in str(refusal.value)
    assert "students.distil-tiny.stages.0.long_texts: ner has none" in str(refusal.value)
