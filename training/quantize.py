"""Dynamic int8: weights per output channel in advance, activations at run time."""

import dataclasses
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import QuantizationConfig

CONFIG = QuantizationConfig(
    is_static=False,
    format=QuantFormat.QOperator,
    mode=QuantizationMode.IntegerOps,
    # Activations must stay unsigned: signed-by-signed products have no fast kernel.
    activations_dtype=QuantType.QUInt8,
    weights_dtype=QuantType.QInt8,
    per_channel=True,
    # optimum's presets leave the embeddings (Gather) in fp32: most of a small model's bytes.
    operators_to_quantize=["MatMul", "Gemm", "Gather"],
)


def quantize(source: Path, target: Path) -> None:
    """Quantize an fp32 graph (optimum over onnxruntime); its config.json lies beside it."""
    config = dataclasses.replace(CONFIG, nodes_to_exclude=_products_without_weights(source))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        quantizer = ORTQuantizer.from_pretrained(source.parent, file_name=source.name)
        quantizer.quantize(save_dir=folder, quantization_config=config, file_suffix="int8")
        written = next(Path(folder).glob("*.onnx"))
        written.replace(target)


def _products_without_weights(source: Path) -> list[str]:
    """Attention's products of activations with activations: they stay in fp32.

    One scale for a whole batch of attention probabilities costs accuracy, and makes an answer
    depend on its batch mates, for little speed.
    """
    graph = onnx.load(source).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul" and not weights.intersection(node.input)
    ]
