"""How many labels stay when a teacher's matrices are stored in int8?

python -m training.ablations.weight_storage PACKAGE CORPUS SPLIT DATA_DIR

Compares a package's graph in fp32 with the same graph after `store_int8`, and after int8 with one
scale an output channel (embeddings: a row). One line of JSON for each.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from app.contract.decoding import word_logits
from app.contract.encoded_text import Input
from app.contract.pipeline import Package, predict_outputs
from training.datasets import CORPORA, read_split
from training.evaluate import served_input
from training.export import SCALED_ROWS, store_int8
from training.runners import onnx_runner


def main(path: Path, corpus: str, split: str, data_dir: Path) -> None:
    """Store in both ways, run, compare."""
    package = Package.load(path.resolve())
    texts = [served_input(e) for e in read_split(data_dir, corpus, split, CORPORA[corpus].kind)]
    ways: dict[str, Callable[[Path, Path], None]] = {
        f"column of {SCALED_ROWS} rows": store_int8,
        "channel": _by_channel,
    }
    with tempfile.TemporaryDirectory() as folder:
        fp32, stored = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        _write_fp32(package.model_path, fp32)
        before = _logits(package, fp32, texts)
        for name, store in ways.items():
            store(fp32, stored)
            after = _logits(package, stored, texts)
            same = before.argmax(axis=-1) == after.argmax(axis=-1)
            result = {
                "scale": name,
                "bytes": stored.stat().st_size,
                "fp32_bytes": fp32.stat().st_size,
                "words": len(same),
                "differ": int((~same).sum()),
                "same": round(float(same.mean()), 6),
                "logits_differ_by": round(float(np.abs(before - after).mean()), 4),
            }
            sys.stdout.write(json.dumps(result) + "\n")


def _write_fp32(source: Path, target: Path) -> None:
    """The graph with its constants folded, but nothing fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _by_channel(source: Path, target: Path) -> None:
    """Round as int8 with one scale a column does, or a row of what is looked up."""
    model = onnx.load(source)
    looked_up = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
            values = numpy_helper.to_array(tensor)
            largest = np.abs(values).max(axis=int(tensor.name in looked_up), keepdims=True)
            scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scale) * scale, tensor.name))
    onnx.save(model, target)


def _logits(package: Package, path: Path, texts: Sequence[Input]) -> NDArray[np.float32]:
    """Of every word, shape (words, labels)."""
    run = onnx_runner(path)
    predicted = predict_outputs(package.encoder, package.head, run, texts)
    return np.concatenate([word_logits(*each)[1] for each in predicted])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
