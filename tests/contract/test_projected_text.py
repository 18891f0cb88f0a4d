from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.encoded_text import LongInput
from app.contract.errors import InputError, PackageError
from app.contract.projected_text import ProjectionEncoder
from app.contract.projection import word_features


def encoder(max_tokens: int = 8, stride: int = 2, **changes: object) -> ProjectionEncoder:
    settings = {"features": 64, "case": False, "max_tokens": max_tokens, "stride": stride}
    return ProjectionEncoder(**(settings | changes))  # type: ignore[arg-type]


def test_each_word_is_a_row_of_its_features() -> None:
    encoded = encoder().encode(["Ana merge."])[0]

    rows = [bytes(row) for row in encoded.windows[0].input_ids]
    assert rows == [word_features(word, features=64) for word in ("Ana", "merge", ".")]
    assert [encoded.text[w.start : w.end] for w in encoded.words] == ["Ana", "merge", "."]


def test_places_are_those_of_the_text_as_it_was_sent() -> None:
    text = "la Timis\u0327oara!"

    encoded = encoder().encode([text])[0]

    assert [text[w.start : w.end] for w in encoded.words] == ["la", "Timis\u0327oara", "!"]
    assert bytes(encoded.windows[0].input_ids[1]) == word_features("Timișoara", features=64)


def test_given_words_have_the_features_of_the_running_text() -> None:
    words = ["s-a", "dus", "\u200b", "la", "Iași."]

    given_words = encoder().encode([words])[0]
    running = encoder().encode([" ".join(words)])[0]

    assert np.array_equal(given_words.windows[0].input_ids, running.windows[0].input_ids)
    assert [given_words.text[w.start : w.end] for w in given_words.words] == words
    assert [w.first_token for w in given_words.words] == [0, 3, None, 4, 5]


@pytest.mark.parametrize("text", ["", "   ", "\u200b\u200f", "\u202e \u202c", ["\u200b"]])
def test_a_text_without_a_visible_character_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no readable character") as caught:
        encoder().encode(["Ana", text])

    assert (caught.value.code, caught.value.index) == ("empty_text", 1)


def test_a_word_of_ten_thousand_letters_is_one_word() -> None:
    encoded = encoder().encode(["ab" * 5000 + "c"])[0]

    assert [(w.start, w.end) for w in encoded.words] == [(0, 10_001)]


@given(st.text(), st.text(), st.sampled_from(["windows", "cut"]))
def test_any_text_has_valid_places(before: str, after: str, long: LongInput) -> None:
    text = f"{before}a{after}"

    encoded = encoder().encode([text], long=long)[0]

    places = [place for word in encoded.words for place in (word.start, word.end)]
    assert places == sorted(places)
    assert places[-1] <= len(text)
    assert encoded.truncated is (long == "cut" and len(encoded.words) > 8)


@given(st.integers(1, 60))
def test_windows_cover_all_words(count: int) -> None:
    encoded = encoder().encode([[f"w{i}" for i in range(count)]])[0]

    covered = {w.offset + i for w in encoded.windows for i in range(w.size)}
    assert covered == set(range(count))
    assert all(window.num_tokens == window.size <= 8 for window in encoded.windows)


def test_a_text_that_is_too_long_is_refused_where_that_is_asked() -> None:
    with pytest.raises(InputError, match="the input has 9 tokens, at most 8 are read"):
        encoder().encode(["w " * 9], long="refuse")


def test_a_batch_is_padded_with_rows_that_the_mask_hides() -> None:
    encoded = encoder().encode(["Ana", "Ana merge"])

    arrays = encoder().collate([text.windows[0] for text in encoded])

    assert arrays["features"].shape == (2, 2, 16)
    assert arrays["features"].dtype == np.uint8
    assert arrays["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert not arrays["features"][0, 1].any()


def test_a_saved_lexicon_is_read_back(tmp_path: Path) -> None:
    own = encoder(lexicon=frozenset({"ฝน", "ตก"}))
    own.save(tmp_path / "lexicon.json")

    again = ProjectionEncoder.from_file(
        tmp_path / "lexicon.json", features=64, case=False, max_tokens=8, stride=2
    )

    assert again.segment.lexicon == own.segment.lexicon


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", '[""]'])
def test_a_broken_lexicon_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lexicon.json"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(PackageError, match=r"lexicon\.json is not"):
        ProjectionEncoder.from_file(path, features=64, case=False, max_tokens=8, stride=2)


def test_a_stride_as_long_as_a_window_is_refused() -> None:
    with pytest.raises(PackageError, match="no room for a stride of 8"):
        encoder(stride=8)
    with pytest.raises(InputError, match=r"stride must be in \[0, 8\)"):
        encoder().encode(["Ana"], stride=8)
