import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.contract.normalization import CEDILLA_TO_COMMA_BELOW, normalize


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
def test_normalization_is_nfc_and_its_offsets_tile_the_original(text: str) -> None:
    normalized = normalize(text)

    assert normalized.text == unicodedata.normalize("NFC", text).translate(CEDILLA_TO_COMMA_BELOW)
    spans = [normalized.original_span(i, i + 1) for i in range(len(normalized.text))]
    assert all(a <= c and b <= d for (a, b), (c, d) in pairwise(spans))
    assert {i for a, b in spans for i in range(a, b)} == set(range(len(text)))
