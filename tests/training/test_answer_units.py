from pathlib import Path

import pytest
import torch

from app.contract.encoded_text import Pair
from app.contract.heads import AnswerHead
from tests.training.toy_models import toy_model, toy_tokenizer
from training.answer_units import AnswerUnits, places
from training.datasets.examples import GoldAnswer, Question
from training.distill import Teacher, distill
from training.errors import StepError
from training.losses import gold_loss
from training.recipe import LossWeights, Stage
from training.units import NO_TARGET, UNREADABLE

HEAD = AnswerHead()
TOKENIZER = toy_tokenizer(["qui", "Ana", "Ma", "##ria", "vive", "en"], max_tokens=9, stride=1)
"""A question of one token leaves room for five of the context."""
CONTEXT = "Maria vive en Ana en Maria"
"""Ma ##ria vive en Ana en Ma ##ria: windows hold tokens 0 to 4 and 4 to 7."""


def question(*answers: tuple[str, int], context: str = CONTEXT) -> Question:
    return Question("1", "qui", context, tuple(GoldAnswer(*answer) for answer in answers))


def placed(asked: Question) -> list[tuple[int, int]]:
    [encoded] = TOKENIZER.encode([Pair(asked.question, asked.context)])
    return places(asked, encoded)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # CLS qui SEP before the context: its first token stands at 3.
        ([("Maria", 0)], [(3, 4), (0, 0)]),
        ([("Maria", 21)], [(0, 0), (5, 6)]),
        # Shown by both windows.
        ([("Ana", 14)], [(7, 7), (3, 3)]),
        # No window shows all of it.
        ([("en Ana en", 11)], [(0, 0), (0, 0)]),
        # Of several the first one that a window shows.
        ([("Maria", 21), ("vive", 6), ("Ana", 14)], [(5, 5), (5, 6)]),
        # Part of a token is all of it.
        ([("ari", 1)], [(3, 4), (0, 0)]),
        ([], [(0, 0), (0, 0)]),
    ],
)
def test_an_answer_has_a_place_in_each_window_that_shows_it(
    answers: list[tuple[str, int]], expected: list[tuple[int, int]]
) -> None:
    assert placed(question(*answers)) == expected


def test_a_question_that_nobody_has_answered_has_no_target() -> None:
    assert placed(Question("1", "qui", CONTEXT, None)) == [(NO_TARGET, NO_TARGET)] * 2


def test_a_unit_is_a_window_and_only_the_context_and_the_first_token_can_be_chosen() -> None:
    units = AnswerUnits([question(("Ana", 14)), question(context="Ana")], TOKENIZER, HEAD)
    model = toy_model(HEAD)

    batch = units.batch([2, 0])
    logits = batch.decisions(model(**batch.inputs), HEAD)["start_logits"]

    assert units.lengths == [9, 8, 5]
    assert batch.targets["start_logits"].tolist() == [0, 7]
    assert batch.targets["end_logits"].tolist() == [0, 7]
    hidden = (logits == UNREADABLE).tolist()
    assert hidden[0] == [False, True, True, False, True, True, True, True, True]
    assert hidden[1] == [False, True, True, False, False, False, False, False, True]


def test_the_loss_is_that_of_readable_positions_alone() -> None:
    """-log of the softmax over the first token and the one of the context."""
    units = AnswerUnits([question(("Ana", 0), context="Ana")], TOKENIZER, HEAD)
    batch = units.batch([0])
    outputs = {
        name: torch.tensor([[1.0, 9.0, 9.0, 2.0, 9.0]]) for name in ("start_logits", "end_logits")
    }

    loss = gold_loss(batch.decisions(outputs, HEAD)["end_logits"], batch.targets["end_logits"])

    assert loss is not None
    expected = -torch.log_softmax(torch.tensor([1.0, 2.0]), dim=0)[1]
    torch.testing.assert_close(loss, expected)


def test_windows_without_the_answer_are_thinned_and_the_others_kept() -> None:
    asked = [question(("Maria", 0), context=f"{CONTEXT} {'vive ' * i}") for i in range(20)]

    few, all_of_them = (AnswerUnits(asked, TOKENIZER, HEAD, share=share) for share in (0.2, 1.0))

    shown = [units.batch(range(len(units.lengths))).targets for units in (few, all_of_them)]
    answered = [int((targets["start_logits"] > 0).sum()) for targets in shown]
    empty = [int((targets["start_logits"] == 0).sum()) for targets in shown]
    assert answered == [20, 20]
    assert 0 < empty[0] < 0.5 * empty[1]


KINDS = [(kind, name) for kind in ("soft", "hard") for name in ("start", "end")]
STAGE = Stage.model_validate(
    {
        "data": [{"corpus": "squad-es", "split": "train"}],
        "epochs": 8,
        "batch_size": 2,
        "learning_rate": 1e-2,
    }
)


def test_a_student_learns_from_every_layer_and_from_questions_without_labels(
    tmp_path: Path,
) -> None:
    asked = [question(("Ana", 14)), Question("2", "qui", "Ana vive en", None)]
    units = AnswerUnits(asked, TOKENIZER, HEAD)
    teacher = Teacher.of("teacher", toy_model(HEAD, layers=4, seed=1), units, units)

    history = distill(
        toy_model(HEAD, layers=2),
        [teacher],
        units,
        STAGE,
        weights=LossWeights(soft=1.0, hard=0.5, hidden=0.0, attention=1.0, states=1.0),
        temperature=1.5,
        seed=1,
        evaluate=lambda: {"dev_f1": 0.5},
        checkpoint=tmp_path / "checkpoint.pt",
        title="test",
    )

    terms = ("attention", "states", *(f"{kind} {name}_logits" for kind, name in KINDS))
    first, last = (sum(entry[term] for term in terms) for entry in (history[0], history[-1]))
    assert last < 0.8 * first
    assert history[-1]["dev_f1"] == 0.5


def test_a_teacher_that_reads_other_tokens_is_refused() -> None:
    student = AnswerUnits([question()], TOKENIZER, HEAD)
    other = AnswerUnits([question()], toy_tokenizer(["qui", "Maria"], max_tokens=12), HEAD)

    with pytest.raises(StepError, match="read other tokens, so starts and ends of answers cannot"):
        Teacher.of("other", toy_model(HEAD), other, student)
