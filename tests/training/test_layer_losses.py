import math

import pytest
import torch

from app.contract.heads import AnswerHead
from tests.training.toy_models import toy_model
from training.errors import StepError
from training.layer_losses import LayerMatch, attention_divergence, state_error
from training.recipe import LossWeights, NarrowRecipe
from training.student import narrow_copy

HEAD = AnswerHead()
REAL = torch.tensor([[True, True, False]])
WEIGHTS = LossWeights(soft=0.0, hard=0.0, hidden=0.0, attention=2.0, states=0.5)
IDS, MASK = torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.long)


def test_attention_is_compared_row_by_row_and_padding_left_out() -> None:
    """One head, two real tokens. First rows (1/2, 1/2) and (1/4, 3/4): ln 2 - ln 3 / 2 nats.

    Second rows (1, 0) and (1/2, 1/2): ln 2. The third token is padding, and attends otherwise.
    """
    teacher = torch.tensor([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]])
    student = torch.tensor([[[[0.25, 0.75, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]]])

    divergence = attention_divergence(student, teacher, REAL)

    expected = (math.log(2) - math.log(3) / 2 + math.log(2)) / 2
    assert divergence.item() == pytest.approx(expected, rel=1e-6)
    assert attention_divergence(teacher, teacher, REAL).item() == 0


def test_states_are_compared_by_squares_and_padding_left_out() -> None:
    """Differences 1, 3, 0 and 2 at real tokens: 14 / 4."""
    student = torch.tensor([[[1.0, 3.0], [0.0, 2.0], [9.0, 9.0]]])

    assert state_error(student, torch.zeros(1, 3, 2), REAL).item() == pytest.approx(3.5)


def test_every_second_layer_of_a_teacher_twice_as_deep_is_matched() -> None:
    """Layers 2 and 4 with 1 and 2; states also at the embeddings."""
    student, teacher = toy_model(HEAD, layers=2), toy_model(HEAD, layers=4, seed=1)
    ours, theirs = (model.all_layers(IDS, MASK) for model in (student, teacher))

    parts = LayerMatch(student, teacher, WEIGHTS)(ours, theirs, MASK.bool())

    maps = [
        attention_divergence(ours[f"attention_{n}"], theirs[f"attention_{2 * n}"], MASK.bool())
        for n in (1, 2)
    ]
    states = [
        state_error(ours[f"states_{n}"], theirs[f"states_{2 * n}"], MASK.bool()) for n in range(3)
    ]
    torch.testing.assert_close(parts["attention"], 2.0 * (maps[0] + maps[1]))
    torch.testing.assert_close(parts["states"], 0.5 * (states[0] + states[1] + states[2]))


def test_layers_of_outputs_are_those_of_the_trunk() -> None:
    model = toy_model(HEAD, layers=2)

    found = model.all_layers(IDS, MASK)

    torch.testing.assert_close(found["states_2"], found["last_hidden_state"])
    torch.testing.assert_close(found["attention_1"].sum(dim=-1), torch.ones(1, 2, 4))
    assert "states_0" not in model(IDS, MASK)


def test_a_narrow_student_is_mapped_to_its_teachers_width_and_the_map_is_learnt() -> None:
    teacher = toy_model(HEAD, layers=4)
    sizes = NarrowRecipe(layers=2, width=8, heads=2, inner_width=12)

    student = narrow_copy(teacher, sizes, dropout=0.0, seed=1)

    match = LayerMatch(student, teacher, WEIGHTS)
    shown = teacher.all_layers(IDS, MASK)
    parts = match(student.all_layers(IDS, MASK), shown, MASK.bool())
    parts["states"].backward()
    assert match.map.weight.shape == (16, 8)
    assert match.map.weight.grad is not None
    assert (student.hidden_size, student.config.intermediate_size) == (8, 12)
    assert student.config.vocab_size == teacher.config.vocab_size


def test_depths_that_do_not_divide_and_other_heads_are_refused() -> None:
    teacher = toy_model(HEAD, layers=4)
    sizes = {"layers": 2, "width": 8, "inner_width": 8}
    narrow = NarrowRecipe.model_validate(sizes | {"heads": 4})

    with pytest.raises(
        StepError, match="student of 3 layers cannot be matched with a teacher of 4"
    ):
        LayerMatch(toy_model(HEAD, layers=3), teacher, WEIGHTS)
    with pytest.raises(StepError, match="4 attention heads and the teacher 2"):
        LayerMatch(narrow_copy(teacher, narrow, dropout=0.0, seed=1), teacher, WEIGHTS)
