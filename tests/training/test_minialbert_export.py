from pathlib import Path

import numpy as np
import pytest

from app.contract.adapters import adapted
from app.contract.encoded_text import Input, Pair
from app.contract.heads import (
    AnswerHead,
    ClassHead,
    Head,
    ScoreHead,
    SpanHead,
    TagHead,
    VectorHead,
)
from tests.training.toy_models import toy_minialbert, toy_tokenizer
from training.errors import StepError
from training.export import PARITY, check_parity
from training.minialbert_export import (
    export_adapters,
    export_head,
    export_minialbert,
    export_trunk,
    stacked_adapters,
)
from training.onnx_graph import Graph
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel

TOKENIZER = toy_tokenizer(["la", "Ana"])
TEXTS: list[Input] = ["Ana la Ana", "la"]
PAIRS: list[Input] = [Pair("Ana", "la la"), Pair("la", "Ana")]
CASES: list[tuple[Head, list[Input]]] = [
    (SpanHead(labels=("O", "B-X", "I-X")), TEXTS),
    (TagHead(labels=("A", "B"), xpos=("x", "y", "z")), TEXTS),
    (ClassHead(labels=("a", "b"), rating=("1", "2", "4", "5")), TEXTS),
    (ScoreHead(), PAIRS),
    (VectorHead(width=16), TEXTS),
    (AnswerHead(), PAIRS),
]
IDS = [head.kind for head, _ in CASES]


@pytest.mark.parametrize(("head", "inputs"), CASES, ids=IDS)
def test_torch_whole_graph_and_parts_agree(tmp_path: Path, head: Head, inputs: list[Input]) -> None:
    """Weights of a random model are small, so int8 costs little."""
    model = TaskModel(toy_minialbert(), head).eval()
    encoded = TOKENIZER.encode(inputs, long=head.long)
    arrays = TOKENIZER.collate([text.windows[0] for text in encoded])

    export_minialbert(model, tmp_path / "fp32.onnx", quantize=False)
    export_minialbert(model, tmp_path / "int8.onnx", quantize=True)
    export_trunk(model.trunk, tmp_path / "trunk.onnx")
    export_adapters(model.trunk, tmp_path / "adapters.onnx")
    export_head(model, tmp_path / "head.onnx")

    assert check_parity(model, tmp_path / "fp32.onnx", inputs, TOKENIZER) <= PARITY
    trunk, adapters, part = (
        onnx_runner(tmp_path / f"{name}.onnx") for name in ("trunk", "adapters", "head")
    )
    whole = onnx_runner(tmp_path / "int8.onnx")(arrays)
    in_parts = adapted(trunk, part, adapters({}))(arrays)
    for name, expected in torch_runner(model)(arrays).items():
        np.testing.assert_allclose(in_parts[name], whole[name], atol=1e-6)
        np.testing.assert_allclose(whole[name], expected, atol=0.05)


def test_the_shared_layer_is_stored_once(tmp_path: Path) -> None:
    """Three recursions; the files are as long as the model's own numbers, 4 bytes and about 1."""
    model = TaskModel(toy_minialbert(vocabulary=30_000), ClassHead(labels=("a", "b")))
    numbers = sum(p.numel() for p in model.parameters())
    scales = 4 * 30_000

    export_minialbert(model, tmp_path / "fp32.onnx", quantize=False)
    export_minialbert(model, tmp_path / "int8.onnx", quantize=True)

    structure = 40_000  # names and nodes
    assert (tmp_path / "fp32.onnx").stat().st_size <= 1.05 * 4 * numbers + structure
    adapters = 4 * sum(p.numel() for p in model.trunk.adapters.parameters())
    least = numbers + scales + adapters
    assert (tmp_path / "int8.onnx").stat().st_size <= 1.05 * least + structure


def test_a_graph_with_weights_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.minialbert_export._Graph.constant", Graph.constant)

    with pytest.raises(StepError, match="of them distinct"):
        export_minialbert(
            TaskModel(toy_minialbert(), ClassHead(labels=("a", "b"))),
            tmp_path / "model.onnx",
            quantize=False,
        )


def test_two_tasks_on_a_trunk_have_one_trunk_to_the_byte(tmp_path: Path) -> None:
    first, second = toy_minialbert(), toy_minialbert()
    for parameter in second.adapters.parameters():
        parameter.data.add_(0.1)

    export_trunk(first, tmp_path / "first.onnx")
    export_trunk(second, tmp_path / "second.onnx")

    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert not np.array_equal(
        stacked_adapters(first)["attention.down.weight"],
        stacked_adapters(second)["attention.down.weight"],
    )
