"""torch to ONNX, by optimum, checked against torch."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from optimum.exporters.onnx import export
from optimum.exporters.tasks import TasksManager
from transformers.modeling_utils import PreTrainedModel

from app.contract.encoded_text import EncodedText
from app.contract.manifest import MODEL
from app.contract.tokenization import collate
from training.errors import StepError
from training.runners import LOGITS, onnx_runner, torch_runner

OPSET = 17
PARITY = 1e-4
"""Largest allowed difference of a logit between torch and fp32 ONNX: summation order only."""


def export_model(model: PreTrainedModel, path: Path, *, task: str) -> None:
    """Write an fp32 graph: `input_ids`, `attention_mask` (batch, length) -> `logits`.

    Args:
        model: in float32.
        path: file to write.
        task: optimum's name, e.g. "token-classification".
    """
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model=model, task=task, library_name="transformers"
    )
    base = type(constructor(model.config))

    class TwoInputs(base):  # type: ignore[misc, valid-type]  # known at run time only
        """Token types are constant in single-text models: the graph need not ask for them."""

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            """Named inputs with their dynamic axes."""
            kept = super().inputs
            return {name: kept[name] for name in ("input_ids", "attention_mask")}

    config = TwoInputs(model.config, task=task)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / MODEL
        export(model.cpu().eval(), config, written, opset=OPSET)
        graph = onnx.load(written)
        _name_dimensions(graph, model.config.num_labels)
        onnx.checker.check_model(graph)
        onnx.save(graph, path)


def check_parity(
    model: PreTrainedModel, path: Path, texts: list[EncodedText], *, pad_id: int
) -> float:
    """Compare torch and the fp32 graph on one padded batch.

    Returns:
        The largest difference of a logit on real tokens.

    Raises:
        StepError: it is above PARITY.
    """
    arrays = collate([text.windows[0] for text in texts], pad_id=pad_id)
    real = arrays["attention_mask"].astype(bool)
    ours = torch_runner(model.cpu())(arrays)[LOGITS][real]
    theirs = onnx_runner(path)(arrays)[LOGITS][real]
    gap = float(np.abs(ours - theirs).max())
    if not gap <= PARITY:
        raise StepError(f"{path}: torch and ONNX logits differ by {gap:.3g}, allowed {PARITY:g}")
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


def _name_dimensions(graph: onnx.ModelProto, num_labels: int) -> None:
    """Say in the file how wide the logits are, so that a loader can check it against the labels."""
    output = next(value for value in graph.graph.output if value.name == LOGITS)
    last = output.type.tensor_type.shape.dim[-1]
    last.Clear()
    last.dim_value = num_labels
