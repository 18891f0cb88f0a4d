"""Tiny packages that share a trunk: it says which word stands where, each package what that means.

The trunk multiplies by a package's adapter, its head divides by it: a package answers as one of its
own would, and with the adapter of another one it does not.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from app.contract.manifest import ADAPTERS, GOLDEN, MANIFEST, MODEL, TOKENIZER, TRUNKS, sha256
from tests.tiny_graphs import VOCABULARY
from tests.tiny_package import OPSET, build, edit_json

WIDTH = len(VOCABULARY) - 1  # the last word has no row anywhere, so that it fails


def build_on_trunk(store: Path, *, adapter: float, task: str = "ner", model: str = "tiny") -> Path:
    """Write a package whose head is a table of words, with its trunk, and return its folder.

    Args:
        store: gets both.
        adapter: any number but 0.
        task: ner, or dialect.
        model: its name.
    """
    package = build(store, task=task, model=model)
    (table,) = (t for t in onnx.load(package / MODEL).graph.initializer if t.name == "table")
    meanings = np.nan_to_num(numpy_helper.to_array(table), posinf=0, neginf=0)
    labels = meanings.shape[-1]
    hidden = f"float[rows,length,{WIDTH}] last_hidden_state"
    trunk = _graph(
        "trunk (int64[rows,length] input_ids, int64[rows,length] attention_mask, float[1] adapter) "
        f"=> ({hidden}) "
        "{ words = Gather(eye, input_ids)  last_hidden_state = Mul(words, adapter) }",
        eye=np.eye(WIDTH, dtype=np.float32),
    )
    words = "MatMul(last_hidden_state, table)"
    per_word = f"(float[rows,length,{labels}] logits) {{ logits = {words} }}"
    per_text = (
        f"(float[rows,{labels}] logits) "
        f"{{ found = {words}  logits = ReduceSum<keepdims=0>(found, tokens) }}"
    )
    head = _graph(
        f"head ({hidden}, int64[rows,length] attention_mask) => "
        + (per_word if task == "ner" else per_text),
        table=meanings / np.float32(adapter),
        **({} if task == "ner" else {"tokens": np.array([1])}),
    )
    adapters = _graph(
        "adapters () => (float[1] adapter) { adapter = Identity(own) }",
        own=np.array([adapter], np.float32),
    )
    (store / TRUNKS).mkdir(exist_ok=True)
    onnx.save(trunk, store / "trunk.onnx")
    name = sha256(store / "trunk.onnx")
    (store / "trunk.onnx").rename(store / TRUNKS / f"{name}.onnx")
    onnx.save(head, package / MODEL)
    onnx.save(adapters, package / ADAPTERS)
    files = {each: sha256(package / each) for each in (MODEL, ADAPTERS, TOKENIZER, GOLDEN)}
    edit_json(package / MANIFEST, trunk=name, files=files)
    return package


def _graph(text: str, **constants: np.ndarray) -> onnx.ModelProto:
    graph = parser.parse_graph(text)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
