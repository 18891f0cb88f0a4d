import math

import pytest
import torch

from training.losses import gold_loss, hidden_cosine, soft_cross_entropy


def test_soft_cross_entropy_equals_its_formula_by_hand() -> None:
    """Teacher (1/2, 1/2), student (3/4, 1/4), T = 1: KL = ln 2 - (ln 3) / 2 = 0.14384."""
    student = torch.log(torch.tensor([[0.75, 0.25]]))
    teacher = torch.tensor([[0.5, 0.5]])

    loss = soft_cross_entropy(student, teacher, temperature=1.0)

    assert loss.item() == pytest.approx(math.log(2) - math.log(3) / 2, abs=1e-6)


def test_soft_cross_entropy_averages_rows_and_scales_by_squared_temperature() -> None:
    student, teacher = torch.randn(7, 5), torch.randn(7, 5)
    p, q = torch.softmax(teacher / 3, -1), torch.softmax(student / 3, -1)

    loss = soft_cross_entropy(student, p, temperature=3.0)

    assert loss.item() == pytest.approx(9 * (p * (p / q).log()).sum(-1).mean().item(), rel=1e-4)


def test_soft_cross_entropy_trains_the_student_only() -> None:
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)

    soft_cross_entropy(student, torch.softmax(teacher, -1), temperature=2.0).backward()

    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_soft_cross_entropy_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be > 0"):
        soft_cross_entropy(torch.zeros(1, 2), torch.zeros(1, 2), temperature=temperature)


def test_soft_cross_entropy_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        soft_cross_entropy(torch.zeros(1, 2), torch.zeros(1, 3), temperature=1.0)


def test_hidden_cosine_is_0_for_the_same_direction_and_2_for_the_opposite() -> None:
    hidden = torch.randn(4, 8)

    assert hidden_cosine(3 * hidden, hidden).item() == pytest.approx(0, abs=1e-6)
    assert hidden_cosine(-hidden, hidden).item() == pytest.approx(2, abs=1e-6)


def test_gold_loss_counts_labelled_units_only() -> None:
    """Two classes with equal logits: ln 2, whatever the unlabelled unit says."""
    decisions = torch.tensor([[0.0, 0.0], [9.0, -9.0]])

    loss = gold_loss(decisions, torch.tensor([1, -100]))

    assert loss is not None
    assert loss.item() == pytest.approx(math.log(2))


def test_gold_loss_of_values_is_the_mean_squared_error_of_known_ones() -> None:
    loss = gold_loss(torch.tensor([[3.0], [1.0]]), torch.tensor([5.0, torch.nan]))

    assert loss is not None
    assert loss.item() == pytest.approx(4.0)


def test_gold_loss_is_none_where_nothing_is_labelled() -> None:
    assert gold_loss(torch.zeros(1, 2), torch.tensor([-100])) is None


def test_gold_loss_of_several_possible_classes_is_that_of_their_union() -> None:
    """Probabilities are 1/2, 1/4, 1/4: -log(3/4), -log(1/4); all possible says nothing."""
    decisions = torch.tensor([[2.0, 1.0, 1.0]]).log().expand(3, 3)
    possible = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])

    loss = gold_loss(decisions, possible)

    assert loss is not None
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert gold_loss(decisions, torch.ones(3, 3, dtype=torch.bool)) is None
