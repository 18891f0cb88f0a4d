import math

import pytest
import torch

from tests.training.toy_models import toy_masking_tokenizer
from training.errors import StepError
from training.shared_words import SharedWords

# Numbers: 5 Casa, 6 casa, 7 mare, 8 ##le, 9 Ana, 10 Ion.
STUDENT = toy_masking_tokenizer(["Casa", "casa", "mare", "##le", "Ana", "Ion"])
# Numbers: 5 ##le, 6 mare, 7 casa, 8 ana, 9 vreme.
TEACHER = toy_masking_tokenizer(["##le", "mare", "casa", "ana", "vreme"], lowercase=True)


def test_words_are_shared_through_the_teachers_case_folding() -> None:
    """casa is 0 (first met behind Casa), mare 1, ana 2; ##le is no word, Ion is not read."""
    shared = SharedWords.of(STUDENT, TEACHER)

    assert shared.student_words.tolist() == [-1] * 5 + [0, 0, 1, -1, 2, -1]
    assert shared.teacher_words.tolist() == [-1] * 5 + [-1, 1, 0, 2, -1]


def test_a_cased_teacher_shares_words_as_they_are_written() -> None:
    teacher = toy_masking_tokenizer(["mare", "casa", "ana", "Ion"])

    shared = SharedWords.of(STUDENT, teacher)

    assert (shared.student_words >= 0).tolist() == [False] * 5 + [
        *(False, True, True, False, False, True)
    ]


def test_cased_variants_are_added_and_renormalized() -> None:
    """T = 1: Casa e^0, casa e^ln3, mare e^ln2, Ana e^ln2: 4/8, 2/8, 2/8 without Ion and ##le."""
    logits = torch.full((1, 11), 7.0)
    logits[0, [5, 6, 7, 9]] = torch.log(torch.tensor([1.0, 3.0, 2.0, 2.0]))

    found = SharedWords.of(STUDENT, TEACHER).student_logits(logits, temperature=1.0)

    torch.testing.assert_close(torch.softmax(found, -1), torch.tensor([[0.5, 0.25, 0.25]]))


def test_variants_are_added_after_the_temperature() -> None:
    """T = 2 takes square roots: (1 + 3) to 2 to 2."""
    logits = torch.full((1, 11), 7.0)
    logits[0, [5, 6, 7, 9]] = torch.log(torch.tensor([1.0, 9.0, 4.0, 4.0]))

    found = SharedWords.of(STUDENT, TEACHER).student_logits(logits, temperature=2.0)

    torch.testing.assert_close(torch.softmax(found / 2, -1), torch.tensor([[0.5, 0.25, 0.25]]))


def test_a_very_improbable_word_stays_finite_with_its_gradient() -> None:
    logits = torch.zeros(1, 11)
    logits[0, 7] = -1e4
    logits.requires_grad_()

    found = SharedWords.of(STUDENT, TEACHER).student_logits(logits, temperature=1.0)
    found.sum().backward()

    assert math.isfinite(found.sum().item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_teachers_logits_are_put_in_the_order_of_shared_words() -> None:
    logits = torch.arange(10.0).unsqueeze(0)

    found = SharedWords.of(STUDENT, TEACHER).teacher_logits(logits)

    assert found.tolist() == [[7.0, 6.0, 8.0]]


def test_vocabularies_with_too_little_in_common_are_refused() -> None:
    foreign = toy_masking_tokenizer(["house", "large", "mare"])

    with pytest.raises(StepError, match=r"cannot be aligned: .* only 20 % of the student's words"):
        SharedWords.of(STUDENT, foreign)
