"""An ONNX graph written node by node."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 17
CONTRIB = "com.microsoft"
"""onnxruntime's own operators."""
IR_VERSION = 8
Array = NDArray[np.generic]


@dataclass(slots=True)
class Graph:
    """Nodes and constants so far; every method adds some and returns the name of its output.

    Attributes:
        nodes: in the order in which they are computed.
        constants: by name.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def constant(self, value: Array | np.generic) -> str:
        """Add a constant."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(
        self,
        kind: str,
        *inputs: str,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,  # noqa: ANN401  # whatever ONNX knows
    ) -> list[str]:
        """Add a node; returns all of its outputs."""
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def one(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node that has one output."""
        return self.node(kind, *inputs, **attributes)[0]

    def integers(self, *values: int) -> str:
        """Add a constant of shape (len(values),)."""
        return self.constant(np.array(values, np.int64))

    def slice(self, value: str, start: int, end: int, axis: int, step: int = 1) -> str:
        """Add a slice along one axis."""
        bounds = (self.integers(bound) for bound in (start, end, axis, step))
        return self.one("Slice", value, *bounds)

    def rename(self, names: dict[str, str]) -> None:
        """Give outputs of nodes other names; none of them may be an input of another node."""
        for node in self.nodes:
            for i, name in enumerate(node.output):
                node.output[i] = names.get(name, name)

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """The whole, checked."""
        constants = [numpy_helper.from_array(a, key) for key, a in self.constants.items()]
        proto = helper.make_model(
            helper.make_graph(self.nodes, name, inputs, outputs, constants),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(proto)
        return proto
