"""MiniALBERT to ONNX: the shared layer stands in the file once, however often it is applied.

Written by hand, as exporters fold a copy of the weights into each recursion (transformers#8869,
pytorch#108342). Recursions stand one after the other on the same constants, each with its slice of
the stacked adapters; a `Loop` over one body is 1.2 to 1.6 times slower (DECISIONS 085). In int8 the
embeddings have a scale a row, the layer's matrices one an output; adapters and heads are float.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from app.contract.adapters import HIDDEN
from app.contract.heads import VectorHead
from training.errors import StepError
from training.minialbert import MiniAlbertModel
from training.onnx_graph import CONTRIB, Array, Graph
from training.task_model import TaskModel

SHARING = 1.05
"""Largest size of the stored weights, over that of the distinct ones."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
FACTOR = 64
"""Largest integer that is multiplied: two products with 8-bit activations fit into 16 bits, in
which CPUs without integer dot products add them. The engine's own way out of that
(`session.x64quantprecision`) leaves such weights alone, and cannot load others that several nodes
share."""
GELU = {"gelu": "Gelu", "gelu_new": "FastGelu", "gelu_pytorch_tanh": "FastGelu"}
_ADAPTER = tuple(f"{way}.{part}" for way in ("down", "up", "norm") for part in ("weight", "bias"))
Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Graph(Graph):
    """In float, or with the trunk's matrices in int8; equal constants are one."""

    quantize: bool = False
    known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    def constant(self, value: Array | np.generic) -> str:
        """Add a constant, unless it is there already."""
        array = np.asarray(value)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.known:
            self.known[key] = Graph.constant(self, array)
        return self.known[key]

    def linear(self, value: str, *layers: nn.Linear, scales: tuple[float, ...] = ()) -> str:
        """One product for some layers side by side, each times a factor."""
        factors = scales or (1.0,) * len(layers)
        pairs = list(zip(layers, factors, strict=True))
        weight = np.concatenate([_array(layer.weight).T * by for layer, by in pairs], axis=1)
        bias = self.constant(np.concatenate([_array(layer.bias) * by for layer, by in pairs]))
        if not self.quantize:
            return self.one("Add", self.one("MatMul", value, self.constant(weight)), bias)
        stored, scale = _in_int8(weight, axis=0, largest=FACTOR)
        parts = self.constant(stored), self.constant(scale[0])
        return self.one("DynamicQuantizeMatMul", value, *parts, "", bias, domain=CONTRIB)

    def rows(self, table: nn.Embedding, ids: str) -> str:
        """Rows of a table."""
        values = _array(table.weight)
        if not self.quantize:
            return self.one("Gather", self.constant(values), ids)
        stored, scale = _in_int8(values, axis=1, largest=127)
        rows = self.one("Cast", self.one("Gather", self.constant(stored), ids), to=1)
        return self.one("Mul", rows, self.one("Gather", self.constant(scale), ids))

    def norm(self, value: str, layer: nn.LayerNorm) -> str:
        weights = self.constant(_array(layer.weight)), self.constant(_array(layer.bias))
        return self.one("LayerNormalization", value, *weights, axis=-1, epsilon=layer.eps)


def export_minialbert(model: TaskModel, path: Path, *, quantize: bool) -> None:
    """Write a graph of its own: token arrays to the outputs of the head.

    Raises:
        StepError: a weight is not a finite number, or the file holds weights twice.
    """
    trunk = model.cpu().eval().trunk
    graph = _Graph(quantize=quantize)
    graph.constants |= stacked_adapters(trunk)
    reads_types = model.head.kind in ("score", "answer")
    hidden = _trunk(graph, trunk, reads_types=reads_types)
    outputs = _head(graph, model, hidden)
    graph.rename(outputs)
    inputs = [_ids(name) for name in TOKENS if reads_types or name != "token_type_ids"]
    _save_once(graph.model("minialbert", inputs, _outputs(model)), path)


def export_trunk(trunk: MiniAlbertModel, path: Path) -> None:
    """Write the shared part alone, in int8; adapters are inputs, last hidden states the output."""
    trunk = trunk.cpu().eval()
    graph = _Graph(quantize=True)
    hidden = _trunk(graph, trunk, reads_types=True)
    graph.rename({hidden: HIDDEN})
    inputs = [_ids(name) for name in TOKENS]
    inputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, stack.shape)
        for name, stack in stacked_adapters(trunk).items()
    ]
    width = trunk.config.hidden_size
    _save_once(graph.model("trunk", inputs, [_floats(HIDDEN, "rows", "length", width)]), path)


def export_head(model: TaskModel, path: Path) -> None:
    """Write the head alone: last hidden states to outputs."""
    graph = _Graph()
    graph.rename(_head(graph, model.cpu().eval(), HIDDEN))
    hidden = _floats(HIDDEN, "rows", "length", model.hidden_size)
    onnx.save(graph.model("head", [hidden, _ids("attention_mask")], _outputs(model)), path)


def export_adapters(trunk: MiniAlbertModel, path: Path) -> None:
    """Write the adapters alone: a graph without inputs that puts them out."""
    graph = Graph()
    outputs = []
    for name, stack in stacked_adapters(trunk).items():
        graph.rename({graph.one("Identity", graph.constant(stack)): name})
        outputs.append(_floats(name, *stack.shape))
    onnx.save(graph.model("adapters", [], outputs), path)


def stacked_adapters(trunk: MiniAlbertModel) -> dict[str, Floats]:
    """The adapters' weights of all recursions, as the graph takes them.

    Returns:
        `attention.down.weight` and so on, the first axis counts recursions; matrices multiply from
        the right.
    """
    found: dict[str, Floats] = {}
    for block, stack in trunk.adapters.items():
        for name in _ADAPTER:
            weights = [_array(adapter.get_parameter(name)) for adapter in stack]
            turned = [w.T if w.ndim == 2 else w for w in weights]
            found[f"{block}.{name}"] = np.ascontiguousarray(np.stack(turned))
    return found


def _trunk(graph: _Graph, trunk: MiniAlbertModel, *, reads_types: bool) -> str:
    """Token arrays to last hidden states."""
    config, table = trunk.config, trunk.embeddings
    length = graph.one("Shape", "input_ids", start=1, end=2)
    bounds = graph.integers(0), length, graph.integers(0)
    positions = graph.one(
        "Slice", graph.constant(_array(table.position_embeddings.weight)), *bounds
    )
    types = _array(table.token_type_embeddings.weight)
    if reads_types:
        kind = graph.one("Gather", graph.constant(types), "token_type_ids")
    else:
        kind = graph.constant(types[0])
    words = graph.rows(table.word_embeddings, "input_ids")
    narrow = graph.one("Add", graph.one("Add", words, positions), kind)
    hidden = graph.linear(graph.norm(narrow, table.LayerNorm), trunk.projector)
    mask = graph.one("Cast", graph.one("Unsqueeze", "attention_mask", graph.integers(1, 2)), to=1)
    lowest = graph.constant(np.finfo(np.float32).min)
    absent = graph.one("Sub", graph.constant(np.float32(1)), mask)
    bias = graph.one("Mul", absent, lowest)
    for step in range(config.num_hidden_layers):
        hidden = _recursion(graph, trunk, hidden, graph.constant(np.int64(step)), bias)
    return hidden


def _recursion(graph: _Graph, trunk: MiniAlbertModel, before: str, step: str, bias: str) -> str:
    """Hidden states after a recursion, which is counted from 0."""
    layer, config = trunk.layer, trunk.config
    heads = config.num_attention_heads
    width = config.hidden_size // heads
    hidden = _adapter(graph, "attention", before, step, config.layer_norm_eps)
    own, output = layer.attention.self, layer.attention.output
    scales = (width**-0.5, 1.0, 1.0)
    joined = graph.linear(hidden, own.query, own.key, own.value, scales=scales)
    parts = graph.one("Reshape", joined, graph.integers(0, 0, 3, heads, width))
    query, key, value = graph.node(
        "Split", graph.one("Transpose", parts, perm=[2, 0, 3, 1, 4]), outputs=3, axis=0
    )
    first = graph.integers(0)
    query, key, value = (graph.one("Squeeze", each, first) for each in (query, key, value))
    scores = graph.one("MatMul", query, graph.one("Transpose", key, perm=[0, 1, 3, 2]))
    weights = graph.one("Softmax", graph.one("Add", scores, bias), axis=-1)
    mixed = graph.one("Transpose", graph.one("MatMul", weights, value), perm=[0, 2, 1, 3])
    mixed = graph.one("Reshape", mixed, graph.integers(0, 0, config.hidden_size))
    added = graph.one("Add", graph.linear(mixed, output.dense), hidden)
    normed = graph.norm(added, output.LayerNorm)
    hidden = _adapter(graph, "feed_forward", normed, step, config.layer_norm_eps)
    wide = graph.linear(hidden, layer.intermediate.dense)
    wide = graph.one(GELU[config.hidden_act], wide, domain=CONTRIB)
    added = graph.one("Add", graph.linear(wide, layer.output.dense), hidden)
    return graph.norm(added, layer.output.LayerNorm)


def _adapter(graph: _Graph, block: str, value: str, step: str, eps: float) -> str:
    own = {name: graph.one("Gather", f"{block}.{name}", step, axis=0) for name in _ADAPTER}
    narrow = graph.one("Add", graph.one("MatMul", value, own["down.weight"]), own["down.bias"])
    narrow = graph.one("Gelu", narrow, domain=CONTRIB)
    wide = graph.one("Add", graph.one("MatMul", narrow, own["up.weight"]), own["up.bias"])
    added = graph.one("Add", wide, value)
    norm = own["norm.weight"], own["norm.bias"]
    return graph.one("LayerNormalization", added, *norm, axis=-1, epsilon=eps)


def _head(graph: _Graph, model: TaskModel, hidden: str) -> dict[str, str]:
    """Computes the outputs, in float; from their names in the graph to those of the head."""
    quantize, graph.quantize = graph.quantize, False
    found: dict[str, str] = {}
    head = model.head
    is_vector = isinstance(head, VectorHead)
    if is_vector or any(not output.per_token for output in head.outputs):
        text = _text(graph, model, hidden)
    if is_vector:
        length = graph.one("ReduceL2", text, axes=[-1], keepdims=1)
        found[graph.one("Div", text, length)] = "vector"
    else:
        for output in head.outputs:
            layer = model.outputs[output.name]
            value = graph.linear(hidden if output.per_token else text, layer)
            if output.width is None:
                value = graph.one("Squeeze", value, graph.integers(-1))
            found[value] = output.name
    graph.quantize = quantize
    return found


def _text(graph: _Graph, model: TaskModel, hidden: str) -> str:
    if model.first_token is not None and not isinstance(model.head, VectorHead):
        first = graph.one("Gather", hidden, graph.constant(np.int64(0)), axis=1)
        dense = graph.linear(first, model.first_token.dense)
        return graph.one("Tanh" if model.first_token.activation == "tanh" else "Relu", dense)
    mask = graph.one("Cast", graph.one("Unsqueeze", "attention_mask", graph.integers(2)), to=1)
    axis = graph.integers(1)
    total = graph.one("ReduceSum", graph.one("Mul", hidden, mask), axis, keepdims=0)
    return graph.one("Div", total, graph.one("ReduceSum", mask, axis, keepdims=0))


def _outputs(model: TaskModel) -> list[onnx.ValueInfoProto]:
    return [
        _floats(
            output.name,
            "rows",
            *(("length",) if output.per_token else ()),
            *((output.width,) if output.width else ()),
        )
        for output in model.head.outputs
    ]


def _save_once(model: onnx.ModelProto, path: Path) -> None:
    """Save a graph that has every weight once."""
    weights = [(t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer]
    stored, least = (sum(len(raw) for *_, raw in each) for each in (weights, set(weights)))
    if stored > SHARING * least:
        raise StepError(f"{path}: {stored:,} bytes of weights, {least:,} of them distinct")
    onnx.save(model, path)


def _ids(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"])


def _floats(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _array(tensor: torch.Tensor) -> Floats:
    values = tensor.detach().float().numpy()
    if not np.isfinite(values).all():
        raise StepError("the model has weights that are not finite numbers")
    return values


def _in_int8(values: Floats, *, axis: int, largest: int) -> tuple[NDArray[np.int8], Floats]:
    """Symmetric integers up to `largest`, and their scales along an axis."""
    reach = np.abs(values).max(axis=axis, keepdims=True)
    scale = np.where(reach > 0, reach / largest, 1).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale
