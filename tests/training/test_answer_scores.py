import math

import numpy as np
import pytest

from app.contract.answers import FoundAnswer
from app.contract.encoded_text import EncodedText, Window, Word
from app.contract.heads import AnswerHead
from training.answer_scores import (
    Read,
    answer_loyalty,
    answer_quality,
    best_answers,
    place_loyalty,
    window_distributions,
)
from training.datasets.examples import GoldAnswer, Question

CONTEXT = "vive en Lima"
SPANS = ((0, 4), (5, 7), (8, 12))
ASKED = Question("1", "dónde", CONTEXT, (GoldAnswer("Lima", 8),))
NOT_SAID = Question("2", "cuándo", CONTEXT, ())
LIMA, VIVE, NOTHING = FoundAnswer(0.9, 8, 12), FoundAnswer(0.5, 0, 4), FoundAnswer(0.8, 0, 0)
ONE_CONTEXT = np.array([0, 0])


def read(*logits: float) -> Read:
    """A question of one token: logits of CLS, question, SEP, the context's three tokens, SEP."""
    window = Window(np.arange(7), np.zeros(7, np.int64), offset=0, prefix=3, size=3)
    words = tuple(Word(*span, i) for i, span in enumerate(SPANS))
    values = np.array(logits, np.float32)
    outputs = {"start_logits": values, "end_logits": values}
    return EncodedText(CONTEXT, words, SPANS, (window,), False), [outputs]


def test_no_answer_counts_where_a_question_of_the_split_has_none() -> None:
    unsure = read(3.0, 9.0, 9.0, 0.0, 0.0, 2.0, 9.0)

    found = {
        (can, asked): best_answers(AnswerHead(can_abstain=can), [unsure], [asked])[0].end
        for can in (False, True)
        for asked in (ASKED, NOT_SAID)
    }

    assert found == {
        (False, ASKED): 12,
        (False, NOT_SAID): 12,
        (True, ASKED): 12,
        (True, NOT_SAID): 0,
    }


def test_distributions_are_over_the_first_token_and_the_context() -> None:
    """Logits ln 1, ln 2, ln 3 and ln 4 of ten in all; the question's are higher."""
    logits = [math.log(n) for n in (1, 50, 50, 2, 3, 4, 50)]

    rows, owner = window_distributions([read(*logits)] * 2, "start_logits")

    np.testing.assert_allclose(rows, [[0.1, 0.2, 0.3, 0.4]] * 2, rtol=1e-6)
    assert owner.tolist() == [0, 1]


def test_answers_are_scored_in_both_normalizations() -> None:
    """ "la Lima" loses its article in Spanish only: F1 1 there, and 2/3 in SQuAD's way."""
    asked = Question("1", "dónde", "vive en la Lima", (GoldAnswer("Lima", 11),))

    scores = answer_quality([FoundAnswer(0.9, 8, 15)], [asked], np.array([0]))

    assert {name: score.value for name, score in scores.items()} == {
        "f1_mlqa_es": 1.0,
        "exact_match_mlqa_es": 1.0,
        "f1": pytest.approx(2 / 3),
        "exact_match": 0.0,
    }


def test_loyal_answers_are_the_same_spans_and_share_words() -> None:
    """Of two answers one is the same; the other one, "vive", shares nothing with no answer."""
    scores = answer_loyalty([LIMA, NOTHING], [LIMA, VIVE], [ASKED, NOT_SAID], ONE_CONTEXT)

    assert scores["label_loyalty"].value == 0.5
    assert scores["answer_f1_loyalty"].value == 0.5


def test_loyal_places_are_those_of_each_window() -> None:
    """One window alike, one with all probability elsewhere: distance sqrt(ln 2)."""
    teacher = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    student = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)

    scores = place_loyalty(teacher, student, np.array([0, 1]))

    assert scores["label_loyalty"].value == 0.5
    assert scores["probability_loyalty"].value == pytest.approx(1 - math.sqrt(math.log(2)) / 2)
