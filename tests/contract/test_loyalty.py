import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.errors import ContractError
from app.contract.heads import AnswerHead, ClassHead, Head, ParseHead, ScoreHead, SpanHead, TagHead
from app.contract.loyalty import Loyalty, Reading, check_comparable, compare, held_out
from app.contract.manifest import Score
from tests.contract.readings import Span, between_specials, encoded_words, spaced

LABELS = ("O", "B-X", "I-X")
WORDS = [(0, 3), (4, 8), (8, 9)]
TEXT = "Ana scrie"
SURE = 99.0


def tagged(
    tags: list[str], words: list[Span] | None = None, labels: tuple[str, ...] = LABELS
) -> Reading:
    """Every word is certain of its tag."""
    words = WORDS if words is None else words
    rows = [[SURE * (label == tag) for label in labels] for tag in tags]
    outputs = [{"logits": between_specials(rows)}]
    return Reading(SpanHead(labels=labels), encoded_words(TEXT, words), outputs)


def score(value: float, low: float = 0, high: float = 1) -> Reading:
    head = ScoreHead(low=low, high=high)
    return Reading(head, spaced(1), [{"logits": np.array([value], np.float32)}])


def answer(word: int) -> Reading:
    logits = np.zeros(5, np.float32)
    logits[1 + word] = SURE
    return Reading(AnswerHead(), spaced(3), [{"start_logits": logits, "end_logits": logits}])


def test_label_loyalty_is_the_share_of_words_with_the_same_label() -> None:
    loyalty = compare(tagged(["B-X", "O", "O"]), tagged(["B-X", "B-X", "O"]))

    assert loyalty.label == pytest.approx(2 / 3)
    assert (loyalty.compared, loyalty.skipped) == (3, 0)
    assert loyalty.regression is None


def test_disjoint_labels_have_the_least_probability_loyalty() -> None:
    """Their divergence is ln 2: 1 - sqrt(ln 2) in base e, 0 in base 2."""
    loyalty = compare(tagged(["O", "O", "O"]), tagged(["B-X", "B-X", "B-X"]))

    assert loyalty.probability == pytest.approx(1 - math.sqrt(math.log(2)))
    assert loyalty.probability_base2 == pytest.approx(0)


def test_labels_are_compared_by_name_not_by_position() -> None:
    teacher = tagged(["B-X", "O", "I-X"], labels=("I-X", "B-X", "O"))

    assert compare(tagged(["B-X", "O", "I-X"]), teacher) == Loyalty(3, 0, 1.0, 1.0, 1.0)


def test_words_that_only_one_tokenizer_makes_are_skipped() -> None:
    """The teacher keeps "scrie" whole; the student cuts it in two."""
    teacher = tagged(["B-X", "B-X"], [(0, 3), (4, 9)])

    loyalty = compare(tagged(["B-X", "O", "O"]), teacher)

    assert (loyalty.compared, loyalty.skipped, loyalty.label) == (1, 2, 1.0)


def test_nothing_is_said_where_no_word_coincides() -> None:
    assert compare(tagged(["O"], [(0, 3)]), tagged(["O"], [(4, 9)])) == Loyalty(0, 1)


def test_intent_and_slots_of_a_parse_count_alike() -> None:
    head = ParseHead(intents=("IN:A", "IN:B"), slots=("O", "B-SL:X"))
    slots = between_specials([[SURE, 0.0], [0.0, SURE], [SURE, 0.0]])

    def parse(intent: int) -> Reading:
        intents = np.array([SURE * (i == intent) for i in range(2)], np.float32)
        return Reading(head, spaced(3), [{"intent_logits": intents, "slot_logits": slots}])

    assert compare(parse(0), parse(1)).label == 0.75
    assert compare(parse(1), parse(1)).label == 1.0


def test_scores_are_compared_on_their_own_scales() -> None:
    """3 of 0 to 5 is 0.6; 0.5 of 0 to 1 is 0.5."""
    loyalty = compare(score(3.0, high=5), score(0.5))

    assert loyalty.regression == pytest.approx(0.9)
    assert loyalty.label is loyalty.probability is None


def test_answers_agree_only_on_the_same_span() -> None:
    assert compare(answer(1), answer(1)).label == 1.0
    assert compare(answer(1), answer(2)).label == 0.0


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (ScoreHead(), AnswerHead(), "kind 'score' cannot be compared with kind 'answer'"),
        (
            ClassHead(labels=("a", "b")),
            ClassHead(labels=("b", "c")),
            "logits: only one of student and teacher has a, c; models with the same labels",
        ),
        (
            TagHead(labels=("X", "Y")),
            TagHead(labels=("X", "Y"), xpos=("v",)),
            "xpos_logits: only one of student and teacher has v",
        ),
    ],
)
def test_models_that_mean_different_things_are_refused(
    student: Head, teacher: Head, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        check_comparable(student, teacher)


@given(
    st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 6), min_size=1, max_size=8),
    st.permutations(LABELS),
)
def test_loyalty_is_symmetric_and_in_its_ranges(
    rows: list[tuple[float, ...]], order: list[str]
) -> None:
    labels = tuple(order)
    words = spaced(len(rows))
    first = Reading(
        SpanHead(labels=LABELS), words, [{"logits": between_specials([[*r[:3]] for r in rows])}]
    )
    second = Reading(
        SpanHead(labels=labels), words, [{"logits": between_specials([[*r[3:]] for r in rows])}]
    )

    there, back = compare(first, second), compare(second, first)

    assert there.probability is not None
    assert there.probability_base2 is not None
    assert there.probability == pytest.approx(back.probability)
    assert 1 - math.sqrt(math.log(2)) - 1e-6 <= there.probability <= 1
    assert -1e-6 <= there.probability_base2 <= 1
    assert compare(first, first) == Loyalty(len(rows), 0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("head", "scores", "expected"),
    [
        (SpanHead(labels=LABELS), {"label_loyalty": (0.9, 10)}, Loyalty(10, label=0.9)),
        # 90 of 100 universal tags and 40 of 50 others are 130 of 150 live decisions.
        (
            TagHead(labels=("A", "B"), xpos=("Ab", "Bc")),
            {"label_loyalty": (0.9, 100), "xpos_label_loyalty": (0.8, 50)},
            Loyalty(150, label=130 / 150),
        ),
        # Whole trees are not what is compared live.
        (
            ParseHead(intents=("A", "B"), slots=LABELS),
            {
                "label_loyalty": (0.5, 10),
                "intent_label_loyalty": (1.0, 10),
                "slot_label_loyalty": (0.9, 30),
            },
            Loyalty(40, label=37 / 40),
        ),
        (ScoreHead(low=0, high=5), {"regression_loyalty": (0.88, 9)}, Loyalty(0, regression=0.88)),
        (SpanHead(labels=LABELS), {}, Loyalty(0)),
    ],
)
def test_what_a_manifest_says_is_put_as_live_loyalty_is(
    head: Head, scores: dict[str, tuple[float, int]], expected: Loyalty
) -> None:
    known = {k: Score(value=v, low=v, high=v, n=n) for k, (v, n) in scores.items()}

    found = held_out(head, known)

    assert found.compared == expected.compared
    assert found.label == (expected.label and pytest.approx(expected.label))
    assert found.regression == expected.regression
