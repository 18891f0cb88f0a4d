"""A second graph in fp16 beside a package's own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from app.contract.manifest import HALF_MODEL, MANIFEST, MODEL
from app.contract.pipeline import Package, predict
from tests.tiny_package import GOLDEN_TEXTS, build, edit_json
from training.errors import StepError
from training.half import add_half
from training.runners import onnx_runner


def test_next_version_has_the_graph_in_fp16_with_the_same_answers(tmp_path: Path) -> None:
    path = build(tmp_path)

    package = Package.load(add_half(path))

    assert package.manifest.version == 2
    assert package.half_path == package.path / HALF_MODEL
    [table] = onnx.load(package.half_path).graph.initializer
    assert table.data_type == TensorProto.FLOAT16
    answers = [predict(package, onnx_runner(graph), GOLDEN_TEXTS) for graph in graphs(package)]
    assert answers[0] == answers[1]
    assert Package.load(path).half_path is None


def graphs(package: Package) -> list[Path]:
    return [package.model_path, package.path / HALF_MODEL]


def test_integer_graph_is_refused_unless_its_fp32_one_is_named(tmp_path: Path) -> None:
    path = build(tmp_path)
    edit_json(path / MANIFEST, precision="int8", weights="int8")

    with pytest.raises(StepError, match="its graph is int8; name the fp32 one with --graph"):
        add_half(path)
    assert Package.load(add_half(path, path / MODEL)).half_path


def test_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path)
    other = onnx.load(path / MODEL)
    [table] = other.graph.initializer
    changed = numpy_helper.to_array(table) + np.float32(3) * np.eye(*table.dims, dtype=np.float32)
    table.CopyFrom(numpy_helper.from_array(changed, table.name))
    onnx.save(other, tmp_path / "other.onnx")

    with pytest.raises(StepError, match="logits differ by"):
        add_half(path, tmp_path / "other.onnx")
    assert [folder.name for folder in path.parent.iterdir()] == ["1"]
