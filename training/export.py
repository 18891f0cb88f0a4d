"""torch to ONNX, by optimum, checked against torch."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from optimum.exporters.onnx import export
from optimum.exporters.tasks import TasksManager

from app.contract.encoded_text import Input
from app.contract.heads import Output
from app.contract.manifest import MODEL
from app.contract.pipeline import Runner
from app.contract.tokenization import SubwordTokenizer
from training.errors import StepError
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel

OPSET = 17
PARITY = 1e-4
"""Largest allowed difference of a logit between torch and fp32 ONNX: summation order only."""
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
    model: TaskModel, path: Path, inputs: list[Input], tokenizer: SubwordTokenizer
) -> float:
    """Compare torch and the fp32 graph on one padded batch.

    Returns:
        The largest difference of an output on real tokens.

    Raises:
        StepError: it is above PARITY.
    """
    encoded = tokenizer.encode(inputs, long=model.head.long)
    arrays = tokenizer.collate([text.windows[0] for text in encoded])
    real = arrays["attention_mask"].astype(bool)

    def outputs(run: Runner) -> list[NDArray[np.float32]]:
        found = {name: np.asarray(values, np.float32) for name, values in run(arrays).items()}
        return [found[o.name][real] if o.per_token else found[o.name] for o in model.head.outputs]

    pairs = zip(outputs(torch_runner(model.cpu())), outputs(onnx_runner(path)), strict=True)
    gap = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    if not gap <= PARITY:
        raise StepError(f"{path}: torch and ONNX outputs differ by {gap:.3g}, allowed {PARITY:g}")
    return gap


def store_fp16(source: Path, target: Path) -> None:
    """Copy an fp32 graph with its matrices stored in fp16 and cast back at load.

    The file halves; the arithmetic stays fp32 (onnxruntime folds the casts at load).

    Raises:
        StepError: a weight is too large for fp16.
    """
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(values).all():
            raise StepError(f"{source}: {tensor.name} has weights beyond the range of fp16")
        half = numpy_helper.from_array(values, f"{tensor.name}_fp16")
        casts.append(
            onnx.helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT)
        )
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _name_dimensions(graph: onnx.ModelProto, outputs: Sequence[Output]) -> None:
    """Say in the file how wide the outputs are: a loader checks that against the labels."""
    for output in outputs:
        value = next(value for value in graph.graph.output if value.name == output.name)
        if output.width is not None:
            last = value.type.tensor_type.shape.dim[-1]
            last.Clear()
            last.dim_value = output.width
