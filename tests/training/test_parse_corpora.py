"""Utterances: readers, trees, and where slots stand."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.corpus_samples import MTOP_FORM, NESTED_FORM, parallel_record, write, write_all
from training.datasets import read_split
from training.datasets.examples import Utterance
from training.datasets.tree_alignment import cut_words, slot_tags
from training.errors import DataError
from training.parse_trees import Tree


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("corpora"))


def test_mtop_slots_are_found_in_the_text_and_the_tree_is_kept(data: Path) -> None:
    utterance = read_split(data, "mtop/en", "dev", Utterance)[0]

    assert utterance.text == "Remind me at 7pm."
    assert utterance.intent == "IN:CREATE_REMINDER"
    assert list(zip(utterance.sentence.words, utterance.sentence.tags or (), strict=True)) == [
        ("Remind", "O"),
        ("me", "B-SL:PERSON_REMINDED"),
        ("at", "B-SL:DATE_TIME"),
        ("7pm", "I-SL:DATE_TIME"),
        (".", "O"),
    ]
    assert utterance.tree == MTOP_FORM
    assert not utterance.is_nested


def test_nested_slots_are_tagged_as_the_outermost(data: Path) -> None:
    utterance = read_split(data, "mtop/en", "dev", Utterance)[1]

    assert utterance.sentence.tags == ("O", "B-SL:RECIPIENT", "I-SL:RECIPIENT")
    assert utterance.is_nested


def test_english_dev_can_be_had_without_the_parallel_utterances(data: Path) -> None:
    left = read_split(data, "mtop/en", "dev-without-xsemplr", Utterance)

    assert [u.text for u in left] == ["Remind me at 7pm.", "message my aunt"]


def test_parallel_ids_split_alike_in_every_language(data: Path) -> None:
    def numbers(split: str, language: str) -> list[str]:
        found = read_split(data, f"mtop/xsemplr/{language}", split, Utterance)
        return [next(w for w in u.sentence.words if w.isdecimal()) for u in found]

    assert numbers("train", "en") == numbers("train", "es")
    assert numbers("dev", "en") == numbers("dev", "es")
    assert len(numbers("train", "en")) == 700
    assert len(set(numbers("train", "en")) | set(numbers("dev", "en"))) == 720


def test_slots_of_a_translation_are_found_in_another_order(data: Path) -> None:
    utterance = read_split(data, "mtop/xsemplr/es", "dev", Utterance)[0]

    assert utterance.sentence.tags == ("O", "B-SL:LOCATION", "O", "B-SL:DATE_TIME")


def test_facebook_words_may_hold_colons_and_tags_become_bio2(data: Path) -> None:
    [utterance] = read_split(data, "fb-multilingual-task-oriented/th", "train", Utterance)

    assert utterance.sentence.words == ("a:b", "7", "pm", "daily")
    assert utterance.sentence.tags == ("O", "B-datetime", "I-datetime", "B-reminder")
    assert (utterance.intent, utterance.tree) == ("alarm__set", None)


def test_snips_lines_may_have_spare_spaces(data: Path) -> None:
    [utterance] = read_split(data, "snips", "dev", Utterance)

    assert utterance.text == "play jazz"
    assert utterance.sentence.tags == ("O", "B-genre")


def test_multiatis_words_end_at_ascii_spaces_and_unequal_rows_are_counted(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    [utterance] = read_split(data, "multiatis/es", "test", Utterance)

    assert utterance.sentence.words == ("a\u00a0b", "c")
    assert utterance.intent == "flight#fare"
    assert "1 rows with unequal counts of words and labels left out" in caplog.text


@pytest.mark.parametrize(
    ("corpus", "file", "text", "message"),
    [
        ("mtop/en", "mtop/en/dev.json", '{"question": "a"}\n{', r"json:1: no logical_form"),
        ("mtop/en", "mtop/en/dev.json", "\n{\n", r"dev\.json:2: "),
        (
            "mtop/en",
            "mtop/en/dev.json",
            json.dumps({"question": "call Ana", "logical_form": "[IN:CALL [SL:WHO Ion ] ]"}),
            r"dev\.json:1: the words of a slot \(3 characters\) are not in the utterance",
        ),
        (
            "mtop/en",
            "mtop/en/dev.json",
            json.dumps({"question": "call", "logical_form": "[IN:CALL call ]"}),
            r"dev\.json:1: IN:CALL has words beside its slots",
        ),
        (
            "mtop/xsemplr/es",
            "mtop/xsemplr/dev.json",
            json.dumps([parallel_record("a", 1), parallel_record("a", 2)]),
            r"dev\.json:1: record 1: id a occurs twice",
        ),
        (
            "mtop/xsemplr/fr",
            "mtop/xsemplr/dev.json",
            json.dumps([parallel_record("a", 1)]),
            r"record 0: no fr",
        ),
        (
            "fb-multilingual-task-oriented/en",
            "fb-multilingual-task-oriented/en/valid",
            "a:O b <=> x\n",
            r"valid:1: a token is not of the form word:tag",
        ),
        (
            "fb-multilingual-task-oriented/en",
            "fb-multilingual-task-oriented/en/valid",
            "a:O\n",
            r"valid:1: expected `word:tag",
        ),
    ],
)
def test_a_malformed_utterance_is_named_by_its_place(
    tmp_path: Path, corpus: str, file: str, text: str, message: str
) -> None:
    write(tmp_path / file, text)

    with pytest.raises(DataError, match=message):
        read_split(tmp_path, corpus, "dev", Utterance)


def test_files_that_do_not_go_line_by_line_are_refused(tmp_path: Path) -> None:
    for name, text in (("seq.in", "a b\n"), ("seq.out", "O\n"), ("label", "x\n")):
        write(tmp_path / "atis/valid" / name, text)

    with pytest.raises(DataError, match=r"seq\.out:1: 2 words and 1 tags"):
        read_split(tmp_path, "atis", "dev", Utterance)


LABELS = st.sampled_from(["A", "B_C"])
WORDS = st.lists(st.sampled_from(["Ana", "7", "]x", "la"]), min_size=1, max_size=3).map(tuple)
INTENTS = st.deferred(
    lambda: st.builds(
        lambda label, slots: Tree(f"IN:{label}", tuple(slots)), LABELS, st.lists(SLOTS, max_size=3)
    )
)
SLOTS = st.one_of(
    st.builds(lambda label, words: Tree(f"SL:{label}", (), words), LABELS, WORDS),
    st.builds(lambda label, intent: Tree(f"SL:{label}", (intent,)), LABELS, INTENTS),
)


@given(INTENTS)
def test_trees_survive_being_written_and_read(tree: Tree) -> None:
    assert Tree.parse(str(tree)) == tree


@pytest.mark.parametrize("text", ["", "]", "[IN:A", "[IN:A ] ]", "IN:A ]", "[SL:A x [IN:B ] ]"])
def test_what_is_no_tree_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"node|bracket|tokens|words"):
        Tree.parse(text)


def test_canonical_trees_forget_order_and_spacing_but_nothing_else() -> None:
    one = Tree.parse("[IN:A [SL:X 7 pm ] [SL:Y la Cluj ] ]").canonical

    assert Tree.parse("[IN:A [SL:Y la  Cluj ] [SL:X 7pm ] ]").canonical == one
    for other in ("[IN:A [SL:X 7pm ] ]", "[IN:A [SL:Y 7pm ] [SL:X laCluj ] ]"):
        assert Tree.parse(other).canonical != one
    assert Tree.parse(NESTED_FORM).canonical != Tree.parse("[IN:SEND_MESSAGE ]").canonical


@given(st.text(st.sampled_from("ab7' .,-แ้ा"), max_size=20))
def test_cutting_loses_nothing_but_the_kind_of_white_space(text: str) -> None:
    words, space_after = cut_words(text)
    spaced = "".join(w + " " * s for w, s in zip(words, space_after, strict=True))

    assert spaced == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "tree", "tags"),
    [
        # The word after the last slot is taken before an earlier equal one.
        ("to go to Cluj", "[IN:A [SL:X go ] [SL:Y to Cluj ] ]", "O B-SL:X B-SL:Y I-SL:Y"),
        # Equal words of two slots are given to one each.
        ("me and me", "[IN:A [SL:X me ] [SL:X me ] ]", "B-SL:X O B-SL:X"),
        # Another slot inside makes two spans of one.
        (
            "pick Ana today up",
            "[IN:A [SL:X pick Ana up ] [SL:T today ] ]",
            "B-SL:X I-SL:X B-SL:T B-SL:X",
        ),
        # Words that the tree drops inside a slot belong to it.
        ("call my dear aunt", "[IN:A [SL:X my aunt ] ]", "O B-SL:X I-SL:X I-SL:X"),
        # Neighbours of one type stay two.
        ("Ana Ion", "[IN:A [SL:X Ana ] [SL:X Ion ] ]", "B-SL:X B-SL:X"),
        # A slot without words has no place.
        ("go home", "[IN:A [SL:X [IN:B ] ] [SL:Y home ] ]", "O B-SL:Y"),
    ],
)
def test_slots_are_placed_in_the_utterance(text: str, tree: str, tags: str) -> None:
    assert " ".join(slot_tags(Tree.parse(tree), text.split())) == tags
