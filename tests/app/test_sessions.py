import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.contract.errors import PackageError
from app.sessions import OnnxSession, usable_cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 10**9),
        ({"cpu.max": "max 100000"}, 10**9),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 10**9),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
    ids=str,
)
def test_usable_cores_heed_affinity_and_the_containers_quota(
    tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")

    assert usable_cores(tmp_path) == min(cores, len(os.sched_getaffinity(0)))


def test_graph_gets_the_token_types_it_asks_for(tmp_path: Path) -> None:
    """The graph adds all its inputs up, so ids of 5 and a mask of 1 give 6 with token types 0."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        helper.make_node("Sum", [f"{name}_f" for name in names], ["sum"]),
        *(helper.make_node("Cast", [n], [f"{n}_f"], to=TensorProto.FLOAT) for n in names),
        helper.make_node("Unsqueeze", ["sum", "axis"], ["logits"]),
    ]
    graph = helper.make_graph(
        [*nodes[1:4], nodes[0], nodes[4]],
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "m"]) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "m", 1])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [2])],
    )
    path = tmp_path / "model.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    session = OnnxSession(path, provider="cpu")
    ids = np.full((2, 3), 5, np.int64)

    outputs = session({"input_ids": ids, "attention_mask": ids // 5, "token_type_ids": 0 * ids})

    assert (session.provider, session.widths) == ("CPUExecutionProvider", {"logits": 1})
    assert (outputs["logits"] == 6).all()


def test_file_that_is_no_graph_is_a_fault_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")

    with pytest.raises(PackageError, match=r"model\.onnx is not a graph"):
        OnnxSession(path, provider="cpu")


def test_integer_products_do_not_overflow(tmp_path: Path) -> None:
    """Two of the largest products do not fit into 16 bits, in which some CPUs would add them."""
    rows = 64
    weight = np.full((rows, 1), 127, np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input_ids"], ["bytes"], to=TensorProto.UINT8),
            helper.make_node("MatMulInteger", ["bytes", "weight"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["logits"], to=TensorProto.FLOAT),
        ],
        "sum",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", rows])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    session = OnnxSession(tmp_path / "model.onnx", provider="cpu")

    found = session({"input_ids": np.full((1, rows), 255)})

    assert found["logits"].tolist() == [[255 * 127 * rows]]
