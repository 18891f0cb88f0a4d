"""pQRNN to ONNX: one graph in float, one in 8-bit integers that is what training saw.

Batch normalization is folded into the scale of each column. Time is the first axis inside; both
directions are rows of one `Scan`, the second with time reversed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from app.contract.projection import TERNARY
from training.fake_quantization import weight_grid
from training.onnx_graph import CONTRIB, Array, Graph
from training.pqrnn import GATES, UNSEEN, Dense, Normalized, Pqrnn, QrnnLayer


@dataclass(frozen=True, slots=True)
class Matrix:
    """A linear map as the graph computes it: grid(x) @ (weight - zero) * scale + bias.

    Attributes:
        weight: float32, or int8 on its grid, shape (inputs, outputs).
        zero: integer that means 0, shape (outputs,).
        scale: of each output, shape (outputs,).
        bias: of each output, shape (outputs,).
    """

    weight: Array
    zero: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, layer: Dense | Normalized, *, quantize: bool) -> "Matrix":
        """Read a layer; its matrices come side by side."""
        count, _, width = layer.weight.shape
        if isinstance(layer, Normalized):
            norm = layer.normalization
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            bias = norm.bias - norm.running_mean * factor
        else:
            factor, bias = torch.ones(count * width), layer.bias
        weight, scale = layer.weight.detach(), torch.ones(count)
        zero = torch.full((count,), 128)
        if quantize:
            scale, zero = weight_grid(weight)
            by_matrix = scale.view(-1, 1, 1), zero.view(-1, 1, 1)
            weight = (weight / by_matrix[0] + by_matrix[1]).round().clamp(0, 255)
        joined = weight.transpose(0, 1).flatten(1).numpy()
        return cls(
            (joined - 128).astype(np.int8) if quantize else joined.astype(np.float32),
            (zero - 128).repeat_interleave(width).numpy().astype(np.int8),
            (scale.repeat_interleave(width) * factor.detach()).numpy().astype(np.float32),
            bias.detach().numpy().astype(np.float32),
        )

    def negated(self, columns: slice) -> "Matrix":
        """With the sign of some outputs turned round."""
        sign = np.ones_like(self.scale)
        sign[columns] = -1
        return Matrix(self.weight, self.zero, self.scale * sign, self.bias * sign)

    @staticmethod
    def joined(matrices: Sequence["Matrix"]) -> "Matrix":
        """The outputs of several side by side."""
        return Matrix(
            np.concatenate([m.weight for m in matrices], axis=1),
            np.concatenate([m.zero for m in matrices]),
            np.concatenate([m.scale for m in matrices]),
            np.concatenate([m.bias for m in matrices]),
        )


@dataclass(slots=True)
class _Graph(Graph):
    """In float, or on grids."""

    quantize: bool = False

    def reversed(self, value: str) -> str:
        """Along time."""
        return self.slice(value, -1, np.iinfo(np.int64).min, 0, -1)

    def on_grid(self, value: str, grid: tuple[float, int]) -> str:
        """Integers of a grid, or the values themselves."""
        if not self.quantize:
            return value
        return self.one("QuantizeLinear", value, *self.grid(grid))

    def off_grid(self, value: str, grid: tuple[float, int]) -> str:
        """Values of integers of a grid."""
        if not self.quantize:
            return value
        return self.one("DequantizeLinear", value, *self.grid(grid))

    def grid(self, grid: tuple[float, int]) -> tuple[str, str]:
        scale, zero = grid
        return self.constant(np.float32(scale)), self.constant(np.uint8(zero))

    def product(self, value: str, grid: tuple[float, int], matrix: Matrix) -> str:
        """A linear map of what is on a grid."""
        bias = self.constant(matrix.bias)
        if not self.quantize:
            weight = self.constant(np.asarray(matrix.weight, np.float32) * matrix.scale)
            return self.one("Add", self.one("MatMul", value, weight), bias)
        scale, zero = self.grid(grid)
        return self.one(
            "MatMulIntegerToFloat",
            value,
            self.constant(matrix.weight),
            scale,
            self.constant(matrix.scale),
            zero,
            self.constant(matrix.zero),
            bias,
            domain=CONTRIB,
        )


def export_pqrnn(model: Pqrnn, path: Path, *, quantize: bool) -> None:
    """Write a graph: `features` and `attention_mask` to the outputs of the head.

    Args:
        model: trained.
        path: of the file.
        quantize: into integers, on the grids that training saw.
    """
    model.cpu().eval()
    graph = _Graph(quantize=quantize)
    mask = graph.one("Cast", graph.one("Transpose", "attention_mask", perm=[1, 0]), to=1)
    mask = graph.one("Unsqueeze", mask, graph.integers(2))
    both = graph.one("Concat", mask, graph.reversed(mask), axis=1)
    value, grid = _bottleneck(graph, model, mask)
    for layer in model.layers:
        value = _layer(graph, layer, value, grid, both)
        grid = layer.range.grid
    outputs = _head(graph, model, value, grid, mask)
    graph.rename(outputs)
    onnx.save(_model(graph, model), path)


def _bottleneck(graph: _Graph, model: Pqrnn, mask: str) -> tuple[str, tuple[float, int]]:
    # Ternary values plus 1 are integers on the grid with step 1 and zero point 1.
    table = (TERNARY + 1).astype(np.uint8) if graph.quantize else TERNARY.astype(np.float32)
    packed = graph.one("Cast", graph.one("Transpose", "features", perm=[1, 0, 2]), to=6)
    unpacked = graph.one("Gather", graph.constant(table), packed)
    shape = graph.integers(0, 0, model.shape.features)
    ternary = graph.one("Reshape", unpacked, shape)
    matrix = Matrix.of(model.bottleneck, quantize=graph.quantize)
    narrow = graph.one("Relu", graph.product(ternary, (1.0, 1), matrix))
    grid = model.bottleneck_range.grid
    return graph.on_grid(graph.one("Mul", narrow, mask), grid), grid


def _layer(graph: _Graph, layer: QrnnLayer, value: str, grid: tuple[float, int], mask: str) -> str:
    """(length, rows, inputs) to (length, rows, 2 * state), both on grids."""
    gates = GATES[layer.pooling]
    state = layer.directions[0].weight.shape[2]
    products = []
    for direction, source in enumerate((value, graph.reversed(value))):
        matrix = Matrix.of(layer.directions[direction], quantize=graph.quantize)
        if direction:
            matrix = _taps_reversed(matrix, layer.kernel)
        matrix = matrix.negated(slice(state, 2 * state))
        products.append(graph.product(_window(graph, source, layer.kernel, grid), grid, matrix))
    rows = graph.one("Concat", *products, axis=1)
    z = graph.one("Tanh", graph.slice(rows, 0, state, 2))
    opened = graph.one("Sigmoid", graph.slice(rows, state, gates * state, 2))
    opened = graph.one("Mul", opened, mask)
    change, *others = (
        graph.node("Split", opened, outputs=gates - 1, axis=2) if gates > 2 else [opened]
    )
    taken = others[1] if layer.pooling == "ifo" else change
    forget = graph.one("Sub", graph.constant(np.float32(1)), change)
    states = _scan(graph, forget, graph.one("Mul", taken, z), state)
    result = graph.one("Mul", states, others[0] if others else mask)
    ahead, back = graph.node("Split", graph.on_grid(result, layer.range.grid), outputs=2, axis=1)
    return graph.one("Concat", ahead, graph.reversed(back), axis=2)


def _taps_reversed(matrix: Matrix, kernel: int) -> Matrix:
    """Words of a window in the other order."""
    inputs, outputs = matrix.weight.shape
    weight = matrix.weight.reshape(kernel, inputs // kernel, outputs)[::-1]
    return Matrix(
        np.ascontiguousarray(weight.reshape(inputs, outputs)),
        matrix.zero,
        matrix.scale,
        matrix.bias,
    )


def _window(graph: _Graph, value: str, kernel: int, grid: tuple[float, int]) -> str:
    """Each word with those before it, oldest first."""
    if kernel == 1:
        return value
    zero = np.uint8(grid[1]) if graph.quantize else np.float32(0)
    pads = graph.integers(kernel - 1, 0, 0, 0, 0, 0)
    padded = graph.one("Pad", value, pads, graph.constant(zero))
    taps = [graph.slice(padded, tap, tap - kernel + 1, 0) for tap in range(kernel - 1)]
    return graph.one("Concat", *taps, value, axis=2)


def _scan(graph: _Graph, forget: str, update: str, state: int) -> str:
    """States of c_t = f_t * c_{t-1} + b_t from 0."""

    def tensor(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["both", state])

    body = helper.make_graph(
        [
            helper.make_node("Mul", ["f", "before"], ["kept"]),
            helper.make_node("Add", ["kept", "b"], ["after"]),
            helper.make_node("Identity", ["after"], ["state"]),
        ],
        "step",
        [tensor("before"), tensor("f"), tensor("b")],
        [tensor("after"), tensor("state")],
    )
    first = graph.slice(update, 0, 1, 0)
    first = graph.one("Squeeze", first, graph.integers(0))
    start = graph.one("Mul", first, graph.constant(np.float32(0)))
    return graph.node("Scan", start, forget, update, outputs=2, body=body, num_scan_inputs=2)[1]


def _head(
    graph: _Graph, model: Pqrnn, value: str, grid: tuple[float, int], mask: str
) -> dict[str, str]:
    """Computes the outputs; from their names in the graph to those of the head."""
    per_token = [output for output in model.head.outputs if output.per_token]
    layers = [model.attention, *(model.outputs[output.name] for output in per_token)]
    matrix = Matrix.joined([Matrix.of(layer, quantize=graph.quantize) for layer in layers])
    widths = [1, *(output.width or 1 for output in per_token)]
    logits = graph.product(value, grid, matrix)
    parts = [logits]
    if per_token:
        sizes = graph.integers(*widths)
        parts = graph.node("Split", logits, sizes, outputs=len(widths), axis=2)
    found = {
        graph.one("Transpose", part, perm=[1, 0, 2]): output.name
        for part, output in zip(parts[1:], per_token, strict=True)
    }
    hidden_by = graph.constant(np.float32(-UNSEEN))
    unseen = graph.one("Mul", graph.one("Sub", mask, graph.constant(np.float32(1))), hidden_by)
    share = graph.one("Softmax", graph.one("Add", parts[0], unseen), axis=0)
    weighed = graph.one("Mul", share, graph.off_grid(value, grid))
    pooled = graph.one("ReduceSum", weighed, graph.integers(0), keepdims=0)
    pooled_grid = model.pooled_range.grid
    text = graph.on_grid(pooled, pooled_grid)
    for output in model.head.outputs:
        if not output.per_token:
            own = Matrix.of(model.outputs[output.name], quantize=graph.quantize)
            found[graph.product(text, pooled_grid, own)] = output.name
    return found


def _model(graph: _Graph, model: Pqrnn) -> onnx.ModelProto:
    def tensor(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, ["rows", *shape])

    inputs = [
        tensor("features", TensorProto.UINT8, "length", model.shape.features // 4),
        tensor("attention_mask", TensorProto.INT64, "length"),
    ]
    outputs = [
        tensor(
            output.name,
            TensorProto.FLOAT,
            *(("length",) if output.per_token else ()),
            output.width or 1,
        )
        for output in model.head.outputs
    ]
    return graph.model("pqrnn", inputs, outputs)
