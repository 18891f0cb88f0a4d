from collections.abc import Sequence

import pytest
import torch

from app.contract.heads import ClassHead, Head, SpanHead
from tests.training.toy_models import toy_model, toy_tokenizer
from training.datasets.examples import LabelledText, TaggedSentence
from training.distill import Teacher
from training.lessons import Lessons
from training.units import Batch, UnitSet

SPANS = SpanHead(labels=("O", "B-X", "I-X"))
CLASSES = ClassHead(labels=("a", "b"))
CASES: list[tuple[Head, list]] = [
    (
        SPANS,
        [
            TaggedSentence(words, None, (True,) * len(words))
            for words in [("Ana",), ("Ana", "la", "Ana"), ("la", "la")]
        ],
    ),
    (CLASSES, [LabelledText(text, "a") for text in ("Ana", "Ana la Ana", "la la")]),
]


def taught(head: Head, examples: list, lessons: Lessons) -> tuple[Teacher, UnitSet]:
    units = UnitSet(examples, toy_tokenizer(["la", "Ana"]), head)
    return Teacher(toy_model(head), units, None, lessons), units


@pytest.mark.parametrize(("head", "examples"), CASES, ids=["words", "texts"])
def test_a_lesson_is_recalled_in_another_batch_as_it_was_given(head: Head, examples: list) -> None:
    teacher, units = taught(head, examples, Lessons())
    teacher.teach([0, 1], units.batch([0, 1]))
    teacher.teach([2], units.batch([2]))
    expected, states = Teacher(teacher.model, units, None).teach([2, 0], units.batch([2, 0]))

    recalled = teacher.lessons.recall([2, 0])

    assert recalled is not None
    decisions, hidden = recalled
    assert decisions.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(decisions[name], values, rtol=1e-2, atol=1e-2)
    assert states is not None
    torch.testing.assert_close(hidden, states, rtol=1e-2, atol=1e-2)


def test_a_teacher_is_asked_once_about_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, units = taught(*CASES[0], Lessons())
    asked: list[Sequence[int]] = []
    answer = Teacher._answer

    def counted(self: Teacher, chosen: Sequence[int], batch: Batch) -> object:
        asked.append(chosen)
        return answer(self, chosen, batch)

    monkeypatch.setattr(Teacher, "_answer", counted)
    for chosen in ([0, 1], [1, 0], [2, 1], [2, 0]):
        teacher.teach(chosen, units.batch(chosen))

    assert asked == [[0, 1], [2, 1]]


def test_lessons_beyond_the_limit_are_not_kept() -> None:
    teacher, units = taught(*CASES[1], Lessons(limit=1))

    teacher.teach([0], units.batch([0]))

    assert teacher.lessons.recall([0]) is None
