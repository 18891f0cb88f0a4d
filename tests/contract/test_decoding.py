from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.contract.decoding import Tag, decode_tags, entities
from app.contract.encoded_text import EncodedText, Window, Word
from app.contract.probabilities import softmax

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def text_of(count: int) -> EncodedText:
    """`count` words "w", one subword each, in one window with one special token on each side."""
    words = tuple(Word(2 * i, 2 * i + 1, i) for i in range(count))
    return encoded_text(" ".join("w" * count), words, size=count)


def encoded_text(text: str, words: tuple[Word, ...], *, size: int) -> EncodedText:
    """In one window of `size` subwords with one special token on each side."""
    ids = np.zeros(size + 2, np.int64)
    window = Window(ids, ids, offset=0, prefix=1, size=size)
    return EncodedText(text, words, (None,) * size, (window,), truncated=False)


def tags_of(*labels: str) -> list[Tag]:
    return [Tag(label, 0.5) for label in labels]


def found(*labels: str) -> list[tuple[str, int, int]]:
    return [(e.label, e.start, e.end) for e in entities(text_of(len(labels)), tags_of(*labels))]


def test_b_and_following_i_of_the_same_type_make_one_entity() -> None:
    assert found("B-PER", "I-PER", "O", "B-LOC") == [("PER", 0, 3), ("LOC", 6, 7)]


def test_an_i_that_continues_nothing_opens_an_entity() -> None:
    assert found("O", "I-PER", "I-PER") == [("PER", 2, 5)]
    assert found("B-PER", "I-LOC") == [("PER", 0, 1), ("LOC", 2, 3)]


def test_a_b_always_opens_a_new_entity() -> None:
    assert found("B-PER", "B-PER") == [("PER", 0, 1), ("PER", 2, 3)]


def test_ignored_types_are_left_out() -> None:
    tags = tags_of("B-PER", "B-LOC")

    assert [e.label for e in entities(text_of(2), tags, ignore={"PER"})] == ["LOC"]


def test_an_entity_scores_the_mean_of_its_words() -> None:
    tags = [Tag("B-PER", 1.0), Tag("I-PER", 0.5)]

    assert entities(text_of(2), tags)[0].score == 0.75


@given(st.lists(st.sampled_from(LABELS), min_size=1))
def test_any_tag_sequence_decodes_to_ordered_spans_that_never_overlap(labels: list[str]) -> None:
    decoded = entities(text_of(len(labels)), tags_of(*labels))

    assert all(entity.start < entity.end for entity in decoded)
    assert all(a.end <= b.start for a, b in pairwise(decoded))
    covered = sum((e.end - e.start + 1) // 2 for e in decoded)
    assert covered == sum(label != "O" for label in labels)


def test_the_first_subword_decides_and_special_tokens_do_not() -> None:
    encoded = encoded_text("Ana merge", (Word(0, 3, 0), Word(4, 9, 2)), size=3)
    logits = np.zeros((5, 5), np.float32)
    logits[[0, 1, 2, 3, 4], [3, 1, 3, 0, 3]] = 9.0  # CLS, Ana, ##a, merge, SEP

    tags = decode_tags(encoded, [{"logits": logits}], LABELS)

    assert [tag.label for tag in tags] == ["B-PER", "O"]


def test_a_word_without_subwords_is_outside() -> None:
    encoded = encoded_text("\u200b x", (Word(0, 1, None), Word(2, 3, 0)), size=1)
    logits = np.zeros((3, 5), np.float32)
    logits[1, 3] = 9.0

    assert [t.label for t in decode_tags(encoded, [{"logits": logits}], LABELS)] == ["O", "B-LOC"]


def test_softmax_sums_to_one_even_for_huge_logits() -> None:
    probabilities = softmax(np.array([[1e4, 0.0, -1e4]], np.float32))

    np.testing.assert_allclose(probabilities, [[1.0, 0.0, 0.0]])
