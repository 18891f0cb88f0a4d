"""Matrices in int8, expanded when a graph is loaded."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.errors import StepError
from training.export import SCALED_ROWS, expanded, store_int8
from training.runners import onnx_runner

TOKENS, WIDTH, CLASSES = 140, 80, 3
INPUTS = {"input_ids": np.arange(TOKENS, dtype=np.int64).reshape(7, -1)}
Arrays = dict[str, NDArray[np.float32]]


def weights(seed: int = 0) -> Arrays:
    """Of `write_graph`; rows and columns differ in size by up to 10,000."""
    draw = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        sizes = 10.0 ** draw.uniform(-2, 2, (rows, 1)), 10.0 ** draw.uniform(-1, 1, (1, columns))
        return (draw.normal(size=(rows, columns)) * sizes[0] * sizes[1]).astype(np.float32)

    return {
        "embeddings": matrix(TOKENS, WIDTH),
        "inner": matrix(WIDTH, WIDTH),
        "outer": matrix(CLASSES, WIDTH),
        "bias": matrix(1, CLASSES)[0],
    }


def write_graph(path: Path, stored: Arrays) -> Path:
    """Embeddings, a product, and a product with a matrix of few rows, which stays as it is."""
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "inner"], ["hidden"]),
        helper.make_node("ReduceMean", ["hidden"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "outer", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", CLASSES])],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def read(path: Path) -> Arrays:
    """Matrices of an int8 graph."""
    initializers = onnx.load(path).graph.initializer
    return expanded({tensor.name: numpy_helper.to_array(tensor) for tensor in initializers})


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_weight_is_within_half_a_step_of_its_group(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder, original = tmp_path_factory.mktemp("int8"), weights(seed)

    store_int8(write_graph(folder / "fp32.onnx", original), folder / "int8.onnx")

    found = read(folder / "int8.onnx")
    assert set(found) == {"embeddings", "inner"}
    for name, values in found.items():
        assert values.shape == original[name].shape
        for start in range(0, len(values), SCALED_ROWS):
            rows = slice(start, start + SCALED_ROWS)
            step = np.abs(original[name][rows]).max(axis=0) / 127
            gap = np.abs(values[rows] - original[name][rows])
            assert (gap <= 0.5001 * step).all(), name


def test_an_expanded_graph_stored_again_is_the_same(tmp_path: Path) -> None:
    store_int8(write_graph(tmp_path / "fp32.onnx", weights()), tmp_path / "int8.onnx")
    once = weights() | read(tmp_path / "int8.onnx")

    store_int8(write_graph(tmp_path / "again.onnx", once), tmp_path / "twice.onnx")

    for name, values in read(tmp_path / "twice.onnx").items():
        np.testing.assert_allclose(values, once[name], rtol=1e-6)


def test_the_arithmetic_is_that_of_the_expanded_weights(tmp_path: Path) -> None:
    store_int8(write_graph(tmp_path / "fp32.onnx", weights()), tmp_path / "int8.onnx")
    whole = write_graph(tmp_path / "whole.onnx", weights() | read(tmp_path / "int8.onnx"))

    ours, theirs = (onnx_runner(path)(INPUTS)["logits"] for path in (tmp_path / "int8.onnx", whole))

    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_nothing_of_the_expansion_is_left_to_run(tmp_path: Path) -> None:
    store_int8(write_graph(tmp_path / "fp32.onnx", weights()), tmp_path / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3

    onnxruntime.InferenceSession(
        tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"]
    )

    loaded = onnx.load(tmp_path / "loaded.onnx").graph
    expansion = {"Cast", "Mul", "Reshape", "Slice"}
    assert not expansion & {node.op_type for node in loaded.node}
    assert {tensor.data_type for tensor in loaded.initializer} == {TensorProto.FLOAT}


def test_columns_and_matrices_of_zeros_stay_zero(tmp_path: Path) -> None:
    original = weights()
    original["embeddings"][:, 0] = 0
    original["inner"][:] = 0

    store_int8(write_graph(tmp_path / "fp32.onnx", original), tmp_path / "int8.onnx")

    found = read(tmp_path / "int8.onnx")
    assert not found["embeddings"][:, 0].any()
    assert not found["inner"].any()


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_weight_that_is_no_finite_number_is_refused(tmp_path: Path, odd: float) -> None:
    broken = weights()
    broken["inner"][1, 2] = odd
    source = write_graph(tmp_path / "fp32.onnx", broken)

    with pytest.raises(StepError, match="inner has weights that are not finite numbers"):
        store_int8(source, tmp_path / "int8.onnx")

    assert not (tmp_path / "int8.onnx").exists()
