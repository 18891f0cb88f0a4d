import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.segmentation import Segmenter

THAI = frozenset({"พรุ่งนี้", "ฝน", "จะ", "ตก", "ไหม", "ฝนตก"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's on at 7:30pm?", ["What", "'", "s", "on", "at", "7", ":", "30pm", "?"]),
        ("s-a dus la Iași.", ["s", "-", "a", "dus", "la", "Iași", "."]),
        ("कल मौसम कैसा है", ["कल", "मौसम", "कैसा", "है"]),
        ("5 € 🙂 ❤️", ["5", "€", "🙂", "❤"]),
        ("a\u200fb\u202e", ["ab"]),
        ("\u2066abc\u2069 d", ["abc", "d"]),
        ("x\x00y", ["xy"]),
        ("\u200b\u200f\ufeff \ufe0f", []),
    ],
)
def test_words_are_cut_at_spaces_and_around_marks(text: str, words: list[str]) -> None:
    assert Segmenter()(text).words == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("พรุ่งนี้ฝนจะตกไหม", ["พรุ่งนี้", "ฝน", "จะ", "ตก", "ไหม"]),
        ("พรุ่งนี้ ฝน จะ ตก ไหม", ["พรุ่งนี้", "ฝน", "จะ", "ตก", "ไหม"]),
        ("ฝนตกok", ["ฝนตก", "ok"]),
        ("ฝน\u200bตก", ["ฝน", "ตก"]),
        ("ฝนฟี่ตก", ["ฝน", "ฟี่", "ตก"]),
    ],
)
def test_a_script_without_spaces_is_cut_by_the_lexicon(text: str, words: list[str]) -> None:
    """Into the fewest words; letters that it does not know stay with their marks."""
    assert Segmenter(THAI)(text).words == words


def test_a_script_without_spaces_is_cut_into_characters_where_there_is_no_lexicon() -> None:
    assert Segmenter()("ฟี่ก").words == ["ฟี่", "ก"]
    assert Segmenter()("北京").words == ["北", "京"]


def test_places_leave_out_hidden_characters_at_the_ends_only() -> None:
    text = "\u200fab\u200dc\u200e d"

    found = Segmenter()(text)

    assert [text[start:end] for start, end in found.spans] == ["ab\u200dc", "d"]
    assert found.words == ["abc", "d"]


@given(st.text())
def test_words_lie_in_order_and_hold_no_space(text: str) -> None:
    found = Segmenter(THAI)(text)

    places = [place for span in found.spans for place in span]
    assert places == sorted(places)
    assert all(start < end for start, end in found.spans)
    assert all(word and not any(char.isspace() for char in word) for word in found.words)
    assert all(
        set(word) <= set(text[start:end])
        for (start, end), word in zip(found.spans, found.words, strict=True)
    )
