"""Tags chosen together, held against all sequences that there are."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.contract import viterbi
from app.contract.viterbi import LEAD, best_tags

LABELS = ("O", "B-X", "I-X", "B-Y", "I-Y")
ORDERS = (LABELS, ("B-X", "I-X", "O", "I-Y", "B-Y"))
WORDS = st.integers(1, 6)


def makes_sense(tags: Sequence[str]) -> bool:
    return all(
        not tag.startswith("I-") or before[2:] == tag[2:]
        for before, tag in itertools.pairwise(["O", *tags])
    )


def by_trying_all(logits: NDArray[np.float64], labels: Sequence[str]) -> float:
    """The highest sum of logits of a sequence that makes sense."""
    numbers = range(len(labels))
    return max(
        sum(logits[word, tag] for word, tag in enumerate(tags))
        for tags in itertools.product(numbers, repeat=len(logits))
        if makes_sense([labels[tag] for tag in tags])
    )


@given(st.integers(0, 2**32 - 1), WORDS, st.sampled_from([0.3, 3.0, 12.0]), st.sampled_from(ORDERS))
def test_no_sequence_that_makes_sense_is_likelier(
    seed: int, words: int, spread: float, labels: tuple[str, ...]
) -> None:
    """With wide logits some words are surely outside, and stretches are solved by themselves."""
    logits = np.random.default_rng(seed).normal(0, spread, (words, len(labels)))
    logits[:, labels.index("O")] += spread

    found = best_tags(logits, labels)

    assert makes_sense([labels[tag] for tag in found])
    assert logits[np.arange(words), found].sum() == pytest.approx(by_trying_all(logits, labels))


def test_a_stretch_grows_until_its_ends_are_surer_than_it_is() -> None:
    """O leads by 7.5 in the middle, and the name around it is worth 18."""
    logits = np.array([[0.0, 9, 0, 0, 0], [8.0, 0, 0.5, 0, 0], [0.0, -9, 9, 0, 0]])

    assert [LABELS[tag] for tag in best_tags(logits, LABELS)] == ["B-X", "I-X", "I-X"]


def test_a_name_is_not_cut_where_a_word_is_almost_outside() -> None:
    #                   O    B-X  I-X  B-Y  I-Y
    logits = np.array([[0.0, 5.0, 0.0, 0.0, 0.0], [2.0, 0.0, 1.9, 0.0, 0.0], [0.0, 0.0, 4.0, 0, 0]])

    greedy = [LABELS[tag] for tag in logits.argmax(axis=-1)]
    together = [LABELS[tag] for tag in best_tags(logits, LABELS)]

    assert greedy == ["B-X", "O", "I-X"]
    assert together == ["B-X", "I-X", "I-X"]


def test_one_type_wins_a_span_that_two_share() -> None:
    logits = np.array([[0.0, 2.0, 0.0, 1.5, 0.0], [0.0, 0.0, 1.0, 0.0, 3.0]])

    assert [LABELS[tag] for tag in best_tags(logits, LABELS)] == ["B-Y", "I-Y"]


def test_what_makes_sense_is_left_as_it_is() -> None:
    logits = np.eye(5)[[0, 1, 2, 2, 3, 4, 1, 3]]

    assert best_tags(logits, LABELS).tolist() == [0, 1, 2, 2, 3, 4, 1, 3]


def test_a_type_that_nothing_opens_may_stand_alone() -> None:
    logits = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]])

    assert best_tags(logits, ("O", "B-X", "I-Z")).tolist() == [2, 2]


def test_no_word_has_no_tag() -> None:
    assert best_tags(np.zeros((0, 5)), LABELS).tolist() == []


def test_only_doubtful_stretches_of_a_long_text_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = []
    search = viterbi._search

    def counted(scores: NDArray[np.float64], tags: viterbi._Tags) -> NDArray[np.intp]:
        searched.append(len(scores))
        return search(scores, tags)

    monkeypatch.setattr(viterbi, "_search", counted)
    logits = np.tile([2 * LEAD, 0.0, 0.0, 0.0, 0.0], (10_000, 1))
    logits[5_000:5_002] = [[0.0, 0.1, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]

    found = best_tags(logits, LABELS)

    assert searched == [2]
    assert [LABELS[tag] for tag in found[4_999:5_003]] == ["O", "B-Y", "I-Y", "O"]
