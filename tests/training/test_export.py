from pathlib import Path

import onnx
import pytest

from app.contract.encoded_text import Input, Pair
from app.contract.heads import ClassHead, Head, ScoreHead, SpanHead, TagHead, VectorHead
from tests.training.toy_models import toy_model, toy_tokenizer
from training.errors import StepError
from training.export import PARITY, check_parity, export_model

TOKENIZER = toy_tokenizer(["la", "Ana"])
TEXTS: list[Input] = ["Ana la Ana", "la"]
PAIRS: list[Input] = [Pair("Ana", "la la"), Pair("la", "Ana")]
ONE, TWO = ["input_ids", "attention_mask"], ["input_ids", "attention_mask", "token_type_ids"]
CASES: list[tuple[Head, list[Input], list[str]]] = [
    (SpanHead(labels=("O", "B-X", "I-X")), TEXTS, ONE),
    (TagHead(labels=("A", "B"), xpos=("x", "y", "z")), TEXTS, ONE),
    (ClassHead(labels=("a", "b")), TEXTS, ONE),
    (ClassHead(labels=("a", "b"), rating=("1", "2", "4", "5")), TEXTS, ONE),
    (ScoreHead(), PAIRS, TWO),
    (VectorHead(width=16), TEXTS, ONE),
]


@pytest.mark.parametrize(
    ("head", "inputs", "arrays"), CASES, ids=[head.kind for head, _, _ in CASES]
)
def test_every_head_is_exported_as_it_was_in_torch(
    tmp_path: Path, head: Head, inputs: list[Input], arrays: list[str]
) -> None:
    model = toy_model(head)

    export_model(model, tmp_path / "model.onnx")

    graph = onnx.load(tmp_path / "model.onnx").graph
    assert {node.name for node in graph.input} == set(arrays)
    assert [node.name for node in graph.output] == [output.name for output in head.outputs]
    assert check_parity(model, tmp_path / "model.onnx", inputs, TOKENIZER) <= PARITY


def test_a_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    head = ClassHead(labels=("a", "b"))
    export_model(toy_model(head, seed=1), tmp_path / "model.onnx")

    with pytest.raises(StepError, match="outputs differ by"):
        check_parity(toy_model(head, seed=2), tmp_path / "model.onnx", TEXTS, TOKENIZER)
