from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.decoding import Tag, decode, decode_tags, entities
from app.contract.encoded_text import EncodedText, Window, Word
from app.contract.heads import Decoding, ParseHead, SpanHead
from app.contract.manifest import Manifest
from app.contract.probabilities import softmax
from app.tasks.ner import NER, NerParameters

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

    tags = decode_tags(encoded, [{"logits": logits}], LABELS, decoding="greedy")

    assert [tag.label for tag in tags] == ["B-PER", "O"]


@pytest.mark.parametrize("decoding", ["greedy", "viterbi"])
def test_a_word_without_subwords_is_outside(decoding: Decoding) -> None:
    encoded = encoded_text("\u200b x", (Word(0, 1, None), Word(2, 3, 0)), size=1)
    logits = np.zeros((3, 5), np.float32)
    logits[1, 3] = 9.0

    tags = decode_tags(encoded, [{"logits": logits}], LABELS, decoding=decoding)

    assert [tag.label for tag in tags] == ["O", "B-LOC"]


def test_a_word_without_subwords_parts_two_names() -> None:
    """Nothing is continued across a word that is outside, so the last one opens a name itself."""
    words = (Word(0, 1, 0), Word(2, 3, None), Word(4, 5, 1))
    encoded = encoded_text("a \u200b b", words, size=2)
    logits = np.zeros((4, 5), np.float32)
    logits[1, 1], logits[2, 2], logits[2, 1] = 9.0, 9.0, 8.0

    tags = decode_tags(encoded, [{"logits": logits}], LABELS, decoding="viterbi")

    assert [tag.label for tag in tags] == ["B-PER", "O", "B-PER"]


DOUBTFUL = np.zeros((5, 5), np.float32)
"""Three words: B-PER, then O or just not I-PER, then I-PER."""
DOUBTFUL[1, 1], DOUBTFUL[2, 0], DOUBTFUL[2, 2], DOUBTFUL[3, 2] = 5.0, 2.0, 1.9, 4.0
NAMES = {"greedy": [("PER", 0, 1), ("PER", 4, 5)], "viterbi": [("PER", 0, 5)]}


@pytest.mark.parametrize("decoding", NAMES)
def test_a_head_says_how_its_tags_are_chosen(decoding: Decoding) -> None:
    spans = SpanHead(labels=LABELS, decoding=decoding)
    slots = ParseHead(intents=("A", "B"), slots=LABELS, decoding=decoding)
    outputs = {"logits": DOUBTFUL, "slot_logits": DOUBTFUL, "intent_logits": np.zeros(2)}

    names = decode(spans, text_of(3), [outputs])
    parse = decode(slots, text_of(3), [outputs])

    assert [(name.label, name.start, name.end) for name in names] == NAMES[decoding]
    assert [(slot.label, slot.start, slot.end) for slot in parse.slots] == NAMES[decoding]


@pytest.mark.parametrize("decoding", NAMES)
def test_the_route_of_entities_does_as_the_head_says(decoding: Decoding) -> None:
    head = SpanHead(labels=LABELS, decoding=decoding)
    manifest = Manifest.model_construct(head=head)
    simple, none = (
        NER.decoder(manifest, NerParameters(aggregation_strategy=strategy))(
            text_of(3), [{"logits": DOUBTFUL}]
        )
        for strategy in ("simple", "none")
    )

    assert [(e["entity_group"], e["start"], e["end"]) for e in simple] == NAMES[decoding]
    words = {"greedy": ["B-PER", "I-PER"], "viterbi": ["B-PER", "I-PER", "I-PER"]}
    assert [word["entity"] for word in none] == words[decoding]


def test_softmax_sums_to_one_even_for_huge_logits() -> None:
    probabilities = softmax(np.array([[1e4, 0.0, -1e4]], np.float32))

    np.testing.assert_allclose(probabilities, [[1.0, 0.0, 0.0]])
