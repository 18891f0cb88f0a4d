import numpy as np
import pytest

from app.contract.answers import FoundAnswer
from app.contract.decoding import Answer, ClassScore, Entity, Parse, TaggedWord
from app.contract.encoded_text import Pair
from app.contract.heads import AnswerHead, ClassHead, Head, ParseHead, ScoreHead, SpanHead, TagHead
from training.datasets.examples import (
    Example,
    GoldAnswer,
    LabelledText,
    Question,
    TaggedSentence,
    Utterance,
)
from training.errors import DataError
from training.scores import groups_of, input_of, scores

SPANS = SpanHead(labels=("O", "B-X", "I-X"))
TAGS = TagHead(labels=("A", "B"))
CLASSES = ClassHead(labels=("no", "yes"))
PARSE = ParseHead(intents=("IN:A", "IN:B"), slots=("O", "B-X", "I-X"))
SENTENCE = TaggedSentence(("Ana", "Pop", "scrie"), ("B-X", "I-X", "O"), (True, True, False))
QUESTION = Question("1", "Cine?", "Ana scrie", (GoldAnswer("Ana", 0),))
NAME = Entity("X", 0.9, 0, 7)


def tagged(*labels: str) -> list[TaggedWord]:
    return [TaggedWord(label, None, 0.9, i, i + 1) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("head", "example", "right", "wrong"),
    [
        (SPANS, SENTENCE, [NAME], [Entity("X", 0.9, 0, 3)]),
        (
            TAGS,
            TaggedSentence(("a", "b"), ("A", "B"), (True, False)),
            tagged("A", "B"),
            tagged("B", "A"),
        ),
        (
            CLASSES,
            LabelledText("bun", "yes"),
            [ClassScore("yes", 0.9), ClassScore("no", 0.1)],
            [ClassScore("no", 0.9), ClassScore("yes", 0.1)],
        ),
        (
            PARSE,
            Utterance(SENTENCE, "IN:A"),
            Parse(ClassScore("IN:A", 0.9), (NAME,), ""),
            Parse(ClassScore("IN:A", 0.9), (), ""),
        ),
        (AnswerHead(), QUESTION, [FoundAnswer(0.9, 0, 3)], [FoundAnswer(0.9, 4, 9)]),
    ],
    ids=["spans", "tags", "classes", "parse", "answer"],
)
def test_right_answers_score_one_and_wrong_ones_nothing(
    head: Head, example: Example, right: Answer, wrong: Answer
) -> None:
    assert {score.value for score in scores(head, [example], [right]).values()} == {1.0}
    assert {score.value for score in scores(head, [example], [wrong]).values()} == {0.0}


def test_examples_of_another_task_are_no_gold() -> None:
    with pytest.raises(DataError, match="LabelledText is needed for this task, got TaggedSentence"):
        scores(CLASSES, [SENTENCE], [[ClassScore("yes", 1.0)]])
    with pytest.raises(DataError, match="no answers of kind 'score'"):
        scores(ScoreHead(), [SENTENCE], [0.5])


def test_models_read_running_text_unless_gold_stands_on_words() -> None:
    assert input_of(SENTENCE, SPANS) == "Ana Pop scrie"
    assert input_of(SENTENCE, TAGS) == ("Ana", "Pop", "scrie")
    assert input_of(QUESTION, AnswerHead()) == Pair("Cine?", "Ana scrie")


def test_questions_on_one_context_are_one_group() -> None:
    other = Question("2", "Ce face?", "Ana scrie", ())
    third = Question("3", "Unde?", "La Iași", ())

    np.testing.assert_array_equal(groups_of([QUESTION, third, other]), [0, 1, 0])
