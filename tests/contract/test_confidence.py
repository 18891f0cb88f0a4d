import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.confidence import confidence
from app.contract.errors import ContractError
from app.contract.heads import AnswerHead, ClassHead, Head, ParseHead, ScoreHead, SpanHead, TagHead
from tests.contract.readings import between_specials, encoded_words, spaced

SPANS = SpanHead(labels=("O", "B-X", "I-X"))
CLASSES = ClassHead(labels=("no", "yes"))
ANSWER = AnswerHead()
LN3, LN9 = math.log(3), math.log(9)
logits = st.floats(-50, 50, width=32)


def test_confidence_of_a_class_is_its_probability() -> None:
    """Logits (0, ln 3) have probabilities (1/4, 3/4)."""
    outputs = [{"logits": np.array([0.0, LN3], np.float32)}]

    assert confidence(CLASSES, spaced(1), outputs, 1.0) == pytest.approx(0.75)


def test_temperature_divides_the_logits() -> None:
    """(0, ln 9) at temperature 2 are (0, ln 3)."""
    outputs = [{"logits": np.array([0.0, LN9], np.float32)}]

    assert confidence(CLASSES, spaced(1), outputs, 2.0) == pytest.approx(0.75)


def test_confidence_of_words_is_the_product_of_their_labels() -> None:
    """Two words at 3/4 and 9/10; special tokens say nothing."""
    rows = [[0.0, LN3, -99.0], [LN9, 0.0, -99.0]]

    value = confidence(SPANS, spaced(2), [{"logits": between_specials(rows)}], 1.0)

    assert value == pytest.approx(0.75 * 0.9)


def test_both_parts_of_speech_of_a_word_count() -> None:
    head = TagHead(labels=("NOUN", "VERB"), xpos=("N", "V"))
    outputs = [
        {
            "logits": between_specials([[LN3, 0.0]]),
            "xpos_logits": between_specials([[0.0, LN9]]),
        }
    ]

    assert confidence(head, spaced(1), outputs, 1.0) == pytest.approx(0.75 * 0.9)


def test_confidence_of_a_parse_is_that_of_its_intent_times_its_slots() -> None:
    head = ParseHead(intents=("IN:A", "IN:B"), slots=("O", "B-SL:X"))
    outputs = [
        {
            "intent_logits": np.array([LN3, 0.0], np.float32),
            "slot_logits": between_specials([[LN9, 0.0], [0.0, LN9]]),
        }
    ]

    assert confidence(head, spaced(2), outputs, 1.0) == pytest.approx(0.75 * 0.9 * 0.9)


def test_confidence_of_an_answer_is_that_of_its_best_span() -> None:
    """Start and end lie on the second word with 3/5 each: exp(ln 3) against 1 + 1."""
    peak = np.array([0.0, 0.0, LN3, 0.0], np.float32)

    value = confidence(ANSWER, spaced(2), [{"start_logits": peak, "end_logits": peak}], 1.0)

    assert value == pytest.approx(0.6 * 0.6)


def test_a_word_that_was_not_read_takes_no_part() -> None:
    encoded = encoded_words("w w", [(0, 1)])

    value = confidence(SPANS, encoded, [{"logits": between_specials([[0.0, LN3, -99.0]])}], 1.0)

    assert value == pytest.approx(0.75)


def test_a_score_has_no_confidence() -> None:
    with pytest.raises(ContractError, match="a score has no confidence"):
        confidence(ScoreHead(), spaced(1), [{"logits": np.zeros(1, np.float32)}], 1.0)


@pytest.mark.parametrize("head", [SPANS, ANSWER], ids=["spans", "answer"])
@given(
    values=st.lists(st.tuples(logits, logits, logits), min_size=1, max_size=300),
    temperature=st.floats(0.05, 20),
)
def test_confidence_is_a_probability_whatever_the_logits(
    head: Head, values: list[tuple[float, float, float]], temperature: float
) -> None:
    array = between_specials([list(row) for row in values])
    outputs = [{"logits": array, "start_logits": array[:, 0], "end_logits": array[:, 1]}]

    value = confidence(head, spaced(len(values)), outputs, temperature)

    assert 0 <= value <= 1
