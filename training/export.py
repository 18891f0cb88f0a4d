"""torch to ONNX, by optimum, checked against torch."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from optimum.exporters.onnx import export
from optimum.exporters.tasks import TasksManager

from app.contract.encoded_text import Input
from app.contract.encoding import Encoder
from app.contract.heads import Head, Output
from app.contract.manifest import MODEL
from app.contract.pipeline import Runner
from training.errors import StepError
from training.pqrnn import Pqrnn
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel

OPSET = 17
PARITY = 1e-4
"""Largest allowed difference of a logit between torch and fp32 ONNX: summation order only."""
SCALED_ROWS = 64
"""Rows of a matrix that share a scale in int8: inputs of a layer, or words of the embeddings."""
READ_PAIRS = ("score", "answer")
"""Heads over two texts: their graphs ask for token types; elsewhere these are constant."""


def export_model(model: TaskModel, path: Path) -> None:
    """Write an fp32 graph: token arrays of shape (batch, length) to the outputs of the head."""
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model=model.trunk, task="feature-extraction", library_name="transformers"
    )
    base = type(constructor(model.config))
    head = model.head

    class TaskConfig(base):  # type: ignore[misc, valid-type]  # known at run time only
        """The architecture's inputs, the head's outputs."""

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            """Named inputs with their dynamic axes."""
            kept = super().inputs
            if head.kind not in READ_PAIRS:
                kept.pop("token_type_ids", None)
            return kept

        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            """Named outputs with their dynamic axes."""
            return {
                output.name: {0: "batch_size"}
                | ({1: "sequence_length"} if output.per_token else {})
                for output in head.outputs
            }

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / MODEL
        export(model.cpu().eval(), TaskConfig(model.config), written, opset=OPSET)
        graph = onnx.load(written)
        _name_dimensions(graph, head.outputs)
        onnx.checker.check_model(graph)
        onnx.save(graph, path)


def check_parity(
    model: TaskModel | Pqrnn, path: Path, inputs: list[Input], tokenizer: Encoder
) -> float:
    """Compare torch and the fp32 graph on one padded batch.

    Returns:
        The largest difference of an output on real tokens.

    Raises:
        StepError: it is above PARITY.
    """
    pairs = zip(
        real_outputs(torch_runner(model.cpu()), tokenizer, inputs, model.head),
        real_outputs(onnx_runner(path), tokenizer, inputs, model.head),
        strict=True,
    )
    gap = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    if not gap <= PARITY:
        raise StepError(f"{path}: torch and ONNX outputs differ by {gap:.3g}, allowed {PARITY:g}")
    return gap


def real_outputs(
    run: Runner, tokenizer: Encoder, inputs: Sequence[Input], head: Head
) -> list[NDArray[np.float32]]:
    """What a padded batch of first windows makes: an array an output, without padding."""
    encoded = tokenizer.encode(inputs, long=head.long)
    arrays = tokenizer.collate([text.windows[0] for text in encoded])
    real = arrays["attention_mask"].astype(bool)
    found = {name: np.asarray(values, np.float32) for name, values in run(arrays).items()}
    return [found[o.name][real] if o.per_token else found[o.name] for o in head.outputs]


def store_int8(source: Path, target: Path) -> None:
    """Copy an fp32 graph with its matrices stored in int8 and expanded at load.

    The arithmetic stays fp32: onnxruntime folds these nodes when it loads the graph, which it does
    not do with DequantizeLinear.

    Raises:
        StepError: a weight is not a finite number.
    """
    model = onnx.load(source)
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        is_matrix = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
        if not is_matrix or tensor.dims[0] < SCALED_ROWS:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if not np.isfinite(values).all():
            raise StepError(f"{source}: {name} has weights that are not finite numbers")
        graph.initializer.remove(tensor)
        stored, scale = _in_int8(values)
        rows, columns = values.shape
        parts = {
            "int8": stored,
            "scale": scale,
            "shape": np.array([-1, columns]),
            "first": np.array([0]),
            "end": np.array([rows]),
        }
        part = {key: f"{name}_{key}" for key in (*parts, "cast", "whole", "padded")}
        graph.initializer.extend(numpy_helper.from_array(v, part[k]) for k, v in parts.items())
        node = onnx.helper.make_node
        nodes += [
            node("Cast", [part["int8"]], [part["cast"]], to=TensorProto.FLOAT),
            node("Mul", [part["cast"], part["scale"]], [part["whole"]]),
            node("Reshape", [part["whole"], part["shape"]], [part["padded"]]),
            node("Slice", [part["padded"], part["first"], part["end"]], [name]),
        ]
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def expanded(stored: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The matrices of a graph that `store_int8` wrote, as they are once it is loaded.

    Args:
        stored: initializers of the graph by name.
    """
    names = [name.removesuffix("_int8") for name in stored if name.endswith("_int8")]
    return {
        name: (stored[f"{name}_int8"] * stored[f"{name}_scale"]).reshape(stored[f"{name}_shape"])[
            : int(stored[f"{name}_end"][0])
        ]
        for name in names
    }


def _in_int8(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix in groups of rows, padded with zeros, and the scale of each column of a group.

    Args:
        values: shape (rows, columns).

    Returns:
        Shape (groups, SCALED_ROWS, columns), and (groups, 1, columns).
    """
    padded = np.pad(values, ((0, -len(values) % SCALED_ROWS), (0, 0)))
    groups = padded.reshape(-1, SCALED_ROWS, values.shape[1])
    largest = np.abs(groups).max(axis=1, keepdims=True)
    # -128 stays unused, so that zero is the middle; zeros alone take any scale.
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(groups / scale).astype(np.int8), scale


def _name_dimensions(graph: onnx.ModelProto, outputs: Sequence[Output]) -> None:
    """Say in the file how wide the outputs are: a loader checks that against the labels."""
    for output in outputs:
        value = next(value for value in graph.graph.output if value.name == output.name)
        if output.width is not None:
            last = value.type.tensor_type.shape.dim[-1]
            last.Clear()
            last.dim_value = output.width
