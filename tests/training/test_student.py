import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

from training.distill import check_same_labels
from training.errors import StepError
from training.student import encoder_layers, shallow_copy


def teacher(labels: tuple[str, ...] = ("O", "B-X", "I-X")) -> BertForTokenClassification:
    return BertForTokenClassification(
        BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            id2label=dict(enumerate(labels)),
            num_labels=len(labels),
        )
    )


def test_a_student_starts_from_the_named_layers_embeddings_and_head() -> None:
    source = teacher()

    student = shallow_copy(source, [0, 2], dropout=0.0)

    assert student.config.num_hidden_layers == len(encoder_layers(student)) == 2
    ours, theirs = student.state_dict(), source.state_dict()
    prefix = "bert.encoder.layer"
    for name, tensor in ours.items():
        origin = name.replace(f"{prefix}.1.", f"{prefix}.2.")
        torch.testing.assert_close(tensor, theirs[origin], rtol=0, atol=0)


def test_a_student_shares_no_memory_with_its_teacher() -> None:
    source = teacher()
    student = shallow_copy(source, [0], dropout=0.0)

    with torch.no_grad():
        student.classifier.weight.add_(1.0)

    assert not torch.equal(student.classifier.weight, source.classifier.weight)


def test_a_layer_the_teacher_does_not_have_is_refused() -> None:
    with pytest.raises(StepError, match="teacher has layers 0 to 3"):
        shallow_copy(teacher(), [0, 4], dropout=0.0)


def test_other_labels_are_refused_by_name() -> None:
    with pytest.raises(StepError, match=r"labels differ: \['B-X', 'B-Y'\]"):
        check_same_labels(teacher(), teacher(("O", "B-Y", "I-X")))
