"""A package as transformers wants it: a folder with configuration, tokenizer, graph and weights."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

Arrays = Mapping[str, np.ndarray]

PRODUCTS_AND_CASTS = ("MatMul", "MatMulInteger", "Cast")
EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def write_config(package: Path, folder: Path) -> None:
    """Everything but the weights of torch."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    shapes = {t.name: tuple(t.dims) for t in onnx.load(package / "model.onnx").graph.initializer}
    positions, hidden = _embedding("position_embeddings", shapes)
    labels = manifest["head"]["labels"]
    BertConfig(
        vocab_size=_embedding("word_embeddings", shapes)[0],
        hidden_size=hidden,
        num_hidden_layers=sum(name.endswith("intermediate.dense.bias") for name in shapes),
        num_attention_heads=12,
        intermediate_size=shapes["bert.encoder.layer.0.intermediate.dense.bias"][0],
        hidden_act="gelu_new",
        max_position_embeddings=positions,
        id2label=dict(enumerate(labels)),
        label2id={label: at for at, label in enumerate(labels)},
        architectures=["BertForTokenClassification"],
    ).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=str(package / "tokenizer.json"),
        model_max_length=manifest["encoder"]["max_tokens"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    shutil.copyfile(package / "model.onnx", folder / "model.onnx")


def write_weights(package: Path, folder: Path) -> None:
    """The graph's weights as fp32 for torch: int8 ones are scaled back, nothing is trained."""
    graph = onnx.load(package / "model.onnx").graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    state = {
        name: array
        for name, array in arrays.items()
        if name.startswith(("bert.", "classifier.")) and array.dtype == np.float32 and array.ndim
    }
    for node in graph.node:
        bias = next((name for name in node.input if name in state and name.endswith("bias")), None)
        if node.op_type == "Add" and bias:
            product = next(name for name in node.input if name != bias)
            weight = _weight(product, arrays, makers)
            state[bias.removesuffix("bias") + "weight"] = weight.T
    for name in EMBEDDINGS:
        base = f"bert.embeddings.{name}.weight"
        state[base] = arrays[base] if base in arrays else _scaled_back(base, arrays)
    model = BertForTokenClassification(BertConfig.from_pretrained(folder))
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if unexpected or set(missing) - {"bert.embeddings.position_ids"}:
        raise ValueError(f"weights without a place: {unexpected}; places without: {missing}")
    model.save_pretrained(folder)


def _embedding(name: str, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    base = f"bert.embeddings.{name}.weight"
    return shapes.get(base) or shapes[f"{base}_quantized"]


def _weight(name: str, arrays: Arrays, makers: Mapping[str, onnx.NodeProto]) -> np.ndarray:
    """The matrix of the product that a value comes from, shape (in, out)."""
    node = makers[name]
    if node.op_type == "MatMul":
        return arrays[node.input[1]]
    if node.op_type == "MatMulInteger":
        return _scaled_back(node.input[1].removesuffix("_quantized"), arrays)
    # A product of int8 is cast and multiplied by its scales, which come from scales alone.
    behind = [i for i in node.input if i in makers and makers[i].op_type in PRODUCTS_AND_CASTS]
    return _weight(behind[0], arrays, makers)


def _scaled_back(base: str, arrays: Arrays) -> np.ndarray:
    zero = arrays[f"{base}_zero_point"].astype(np.float32)
    return (arrays[f"{base}_quantized"].astype(np.float32) - zero) * arrays[f"{base}_scale"]
