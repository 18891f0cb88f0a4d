import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.contract.normalization import (
    CEDILLA_TO_COMMA_BELOW,
    MAX_MARKS,
    has_too_many_marks,
    normalize,
)


def test_cedilla_letters_become_comma_below_letters() -> None:
    assert normalize("Ştefan şi ţara Ţării").text == "Ștefan și țara Țării"


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_all_unicode_forms_of_a_word_normalize_to_the_same_text(form: str) -> None:
    assert normalize(unicodedata.normalize(form, "Timişoara")).text == "Timișoara"


def test_a_span_of_composed_text_maps_to_the_decomposed_original() -> None:
    original = unicodedata.normalize("NFD", "la Iași")

    normalized = normalize(original)

    start = normalized.text.index("Iași")
    span = normalized.original_span(start, start + 4)
    assert original[slice(*span)] == unicodedata.normalize("NFD", "Iași")


@given(st.text())
@example("\u1100\u1161\u11a8")  # Hangul jamo, joined by arithmetic
@example("\u0b47\u0b56")  # two starters that compose
@example("q\u0307\u0323")  # marks that NFC reorders
@example("\u0344")  # one character that NFC makes two
@example("e\u0301\u0338!\u0301")  # composed, then a mark that is not; a mark on what never composes
def test_normalization_is_nfc_and_its_offsets_tile_the_original(text: str) -> None:
    normalized = normalize(text)

    assert normalized.text == unicodedata.normalize("NFC", text).translate(CEDILLA_TO_COMMA_BELOW)
    spans = [normalized.original_span(i, i + 1) for i in range(len(normalized.text))]
    assert all(a <= c and b <= d for (a, b), (c, d) in pairwise(spans))
    assert {i for a, b in spans for i in range(a, b)} == set(range(len(text)))


def test_characters_that_are_not_composed_keep_places_of_their_own() -> None:
    normalized = normalize("cafe\u0301 !\u0301")

    assert normalized.text == "café !\u0301"
    assert [normalized.original_span(i, i + 1) for i in (3, 5, 6)] == [(3, 5), (6, 7), (7, 8)]


@pytest.mark.parametrize("marks", ["\u0301", "\u0316\u0301", "\u05b0", "\U0001d165"])
def test_marks_in_a_row_are_bounded(marks: str) -> None:
    most = "e" + marks * (MAX_MARKS // len(marks))

    assert not has_too_many_marks(most + " " + most)
    assert has_too_many_marks(most + marks)


def test_characters_made_of_marks_count_as_marks() -> None:
    """Tibetan vowels that are starters, but not what they decompose to."""
    assert has_too_many_marks("\u0f40" + "\u0f73\u0f75\u0f81" * MAX_MARKS)


def test_letters_without_marks_are_no_run_of_marks() -> None:
    assert not has_too_many_marks("ειναι" * MAX_MARKS + "ไทย" * MAX_MARKS + "ș" * 2 * MAX_MARKS)
