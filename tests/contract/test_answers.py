"""Spans of subwords to answers: which are told apart, where they begin and end."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.answers import find_answers
from app.contract.encoded_text import EncodedText, Window, WindowOutputs

SURE = 20.0
"""Logit beside which the others, 0, do not count."""


def encoded(text: str, spans: Sequence[tuple[int, int]], *windows: tuple[int, int]) -> EncodedText:
    """A text with these subwords, in windows of (offset, size) behind one special token."""
    rows = tuple(
        Window(np.zeros(size + 1, np.int64), np.zeros(size + 1, np.int64), offset, 1, size)
        for offset, size in windows or [(0, len(spans))]
    )
    return EncodedText(text, (), tuple(spans), rows, truncated=False)


def pointing(size: int, first: int, last: int, logit: float = SURE) -> WindowOutputs:
    """Outputs of a window of so many subwords that are for one span; -1 is the special token."""
    starts, ends = np.zeros(size + 1, np.float32), np.zeros(size + 1, np.float32)
    starts[first + 1] = ends[last + 1] = logit
    return {"start_logits": starts, "end_logits": ends}


def best(text: str, span: tuple[int, int], *, whole_words: bool = True) -> str:
    """The answer where the model points at one subword."""
    found = find_answers(
        encoded(text, [span]), [pointing(1, 0, 0)], max_tokens=5, whole_words=whole_words
    )
    return text[found[0].start : found[0].end]


@pytest.mark.parametrize(
    ("text", "subword", "answer"),
    [
        ("in Timișoara.", "mișo", "Timișoara"),
        ("in Timis\u0327oara.", "Timi", "Timis\u0327oara"),  # the cedilla is a character of its own
        ("in Timis\u0327oara.", "oara", "Timis\u0327oara"),
        ("में मुंबई है", "मु", "मुंबई"),  # vowel signs are marks, not letters
        ("می‌خواهم", "می", "می‌خواهم"),  # a joiner of no width
        ("在北京市。", "北京", "北京"),  # no spaces between words
        ("ไปกรุงเทพ", "กรุงเทพ", "กรุงเทพ"),
        ("서울에서", "서울", "서울에서"),
        ("a👩‍👩‍👧b", "👩", "👩‍👩‍👧"),
        ("2,5 km", "5", "5"),
    ],
)
def test_an_answer_grows_to_the_whole_word_of_its_script(
    text: str, subword: str, answer: str
) -> None:
    start = text.index(subword)

    assert best(text, (start, start + len(subword))) == answer


def test_an_answer_is_left_as_it_is_if_words_do_not_matter() -> None:
    assert best("in Timișoara", (5, 9), whole_words=False) == "mișo"


def test_a_run_of_letters_without_end_is_not_walked_through() -> None:
    text = "a" * 100_000

    assert len(best(text, (50_000, 50_001))) < 200


def test_spans_that_grow_into_the_same_words_are_one_answer() -> None:
    text = "la Timișoara"
    subwords = [(0, 2), (3, 6), (6, 9), (9, 12)]

    found = find_answers(encoded(text, subwords), [pointing(4, 1, 2)], max_tokens=4, top_k=10)

    assert [text[a.start : a.end] for a in found] == ["Timișoara", "la Timișoara", "la"]
    assert [a.score for a in found] == sorted((a.score for a in found), reverse=True)


def test_a_window_without_the_answer_takes_nothing_from_the_one_that_has_it() -> None:
    text, subwords = "a b c d", [(0, 1), (2, 3), (4, 5), (6, 7)]
    windows = encoded(text, subwords, (0, 2), (2, 2))

    found = find_answers(windows, [pointing(2, -1, -1), pointing(2, 1, 1)], max_tokens=2)

    assert [(a.start, a.end, round(a.score, 3)) for a in found] == [(6, 7, 1.0)]


def test_no_answer_is_as_likely_as_in_the_window_that_is_least_sure_of_it() -> None:
    windows = encoded("a b c d", [(0, 1), (2, 3), (4, 5), (6, 7)], (0, 2), (2, 2))

    surely = find_answers(windows, [pointing(2, -1, -1)] * 2, max_tokens=2, may_abstain=True)
    hardly = find_answers(
        windows, [pointing(2, -1, -1), pointing(2, 0, 0)], max_tokens=2, may_abstain=True
    )

    assert (surely[0].start, surely[0].end, round(surely[0].score, 3)) == (0, 0, 1.0)
    assert (hardly[0].start, hardly[0].end) == (4, 5)


@given(st.data())
def test_any_logits_give_distinct_sorted_answers_within_bounds(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12))
    text = " ".join("abcdefghijkl"[:size])
    subwords = [(2 * i, 2 * i + 1) for i in range(size)]
    logits = st.lists(st.floats(-50, 50, width=32), min_size=size + 1, max_size=size + 1)
    outputs = {
        name: np.array(data.draw(logits), np.float32) for name in ("start_logits", "end_logits")
    }
    longest, top_k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 30))

    found = find_answers(encoded(text, subwords), [outputs], max_tokens=longest, top_k=top_k)

    places = [(a.start, a.end) for a in found]
    assert 1 <= len(places) == len(set(places)) <= top_k
    assert [a.score for a in found] == sorted((a.score for a in found), reverse=True)
    assert all(0 < len(text[start:end].split()) <= longest for start, end in places)
