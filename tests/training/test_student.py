from pathlib import Path

import pytest
import torch

from app.contract.heads import SpanHead, VectorHead
from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer, toy_model
from training.errors import StepError
from training.student import from_encoder, reading_apart, shallow_copy
from training.task_model import TaskModel, encoder_layers

HEAD = SpanHead(labels=("O", "B-X", "I-X"))


def test_a_student_starts_from_the_named_layers_embeddings_and_outputs() -> None:
    source = toy_model(HEAD)

    student = shallow_copy(source, [0, 2], dropout=0.0)

    assert student.config.num_hidden_layers == len(encoder_layers(student)) == 2
    ours, theirs = student.state_dict(), source.state_dict()
    for name, tensor in ours.items():
        origin = name.replace("encoder.layer.1.", "encoder.layer.2.")
        torch.testing.assert_close(tensor, theirs[origin], rtol=0, atol=0)


def test_a_student_shares_no_memory_with_its_teacher() -> None:
    source = toy_model(HEAD)
    student = shallow_copy(source, [0], dropout=0.0)

    with torch.no_grad():
        student.outputs["logits"].weight.add_(1.0)

    assert not torch.equal(student.outputs["logits"].weight, source.outputs["logits"].weight)


def test_a_student_has_its_own_dropout() -> None:
    student = shallow_copy(toy_model(HEAD), [0], dropout=0.25)

    rates = {module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)}

    assert rates == {0.25}


def test_a_layer_the_teacher_does_not_have_is_refused() -> None:
    with pytest.raises(StepError, match="teacher has layers 0 to 3"):
        shallow_copy(toy_model(HEAD), [0, 4], dropout=0.0)


def test_a_saved_model_loads_with_its_head_and_gives_the_same_outputs(
    tmp_path: Path,
) -> None:
    model = toy_model(HEAD)
    batch = torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.long)

    model.save(tmp_path)
    again = TaskModel.load(tmp_path).eval()

    assert again.head == HEAD
    torch.testing.assert_close(again(*batch)["logits"], model(*batch)["logits"])


def test_outputs_of_a_text_are_read_off_its_real_tokens_only() -> None:
    model = toy_model(HEAD)
    ids = torch.tensor([[2, 5, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])

    padded = model(ids, mask)["logits"][:, :3]

    torch.testing.assert_close(padded, model(ids[:, :3], mask[:, :3])["logits"])


@pytest.mark.parametrize(("width", "copied"), [(16, True), (8, False)])
def test_a_student_on_an_encoder_has_its_teachers_outputs_where_the_width_fits(
    tmp_path: Path, width: int, copied: bool
) -> None:
    teacher = toy_model(HEAD)
    toy_masked_lm(toy_masking_tokenizer(["a"]), layers=1, width=width).save_pretrained(tmp_path)

    student = from_encoder(str(tmp_path), teacher, dropout=0.25, seed=0)

    ours, theirs = (model.outputs["logits"].weight for model in (student, teacher))
    assert len(encoder_layers(student)) == 1
    assert ours.shape == (3, width)
    assert torch.equal(ours, theirs) is copied


def test_a_bi_encoder_gives_the_mean_of_real_tokens_at_length_one(tmp_path: Path) -> None:
    """The second text has two tokens and two of padding."""
    student = reading_apart(shallow_copy(toy_model(HEAD), [1], dropout=0.0)).eval()
    ids = torch.tensor([[2, 5, 6, 3], [2, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    student.save(tmp_path)
    found = TaskModel.load(tmp_path).eval()(ids, mask)

    hidden = found["last_hidden_state"]
    means = torch.stack([hidden[0].mean(dim=0), hidden[1, :2].mean(dim=0)])
    expected = means / means.norm(dim=1, keepdim=True)
    assert student.head == VectorHead(width=16)
    torch.testing.assert_close(found["vector"], expected)
    torch.testing.assert_close(student(ids, mask)["vector"], expected)
