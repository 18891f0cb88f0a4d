"""The trunk of an exported package, read back into torch, for an encoder that starts from it."""

import re
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from app.contract.manifest import MODEL, TOKENIZER
from training.errors import StepError
from training.export import expanded


def load_packaged_trunk(model: PreTrainedModel, package: Path) -> PreTrainedTokenizerFast:
    """Give `model` the weights of the trunk that a package was exported with.

    Args:
        model: a masked-LM BERT of the trunk's shape; its embeddings take the package's vocabulary,
            its masked-LM head keeps its own weights.
        package: a folder of the model store, fp32, whatever its weights are stored in.

    Raises:
        StepError: no package, or its trunk has other weights than `model`.

    Returns:
        The package's tokenizer.
    """
    if not (package / MODEL).is_file():
        raise StepError(
            f"{package} is no package: it has no {MODEL}. One that was replaced comes back with "
            "git restore --source=COMMIT, its commit is in DECISIONS.md"
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(package / TOKENIZER),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    trunk = model.base_model
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    found = _weights(onnx.load(package / MODEL))
    wanted = {name: value for name, value in trunk.state_dict().items() if "pooler" not in name}
    weights = {}
    for name, value in wanted.items():
        # The exporter's names begin with the attribute that held the trunk.
        matches = [key for key in found if key.partition(".")[2] == name]
        if len(matches) != 1 or found[matches[0]].shape != value.shape:
            shapes = [tuple(found[key].shape) for key in matches]
            raise StepError(f"{package}: {name} is {shapes}, not the {tuple(value.shape)} of base")
        weights[name] = found[matches[0]]
    trunk.load_state_dict(weights, strict=False)
    model.tie_weights()
    return tokenizer


def _weights(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Weights under their torch names, in float32.

    Matrices of linear layers are stored transposed and without their names: they are found by the
    bias that is added to their product.
    """
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    stored |= expanded(stored)
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    weights = {}
    for node in graph.node:
        if node.op_type == "Add":
            for bias, product in (node.input, reversed(node.input)):
                if bias.endswith(".bias") and products.get(product) in stored:
                    name = re.sub("bias$", "weight", bias)
                    weights[name] = _tensor(stored[products[product]]).T.contiguous()
    weights |= {name: _tensor(tensor) for name, tensor in stored.items() if "." in name}
    return weights


def _tensor(stored: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(stored.copy()).float()
