"""Weights of exported packages, read back into torch: of a trunk, or of a whole model."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from app.contract.encoded_text import Input
from app.contract.encoding import Encoder, load_encoder
from app.contract.manifest import MODEL, TOKENIZER, read_manifest
from training.errors import StepError
from training.export import PARITY, expanded, real_outputs
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel

PUBLISHED_NAMES = {"bert.": "trunk.", "classifier.": "outputs.logits."}
"""Beginnings of names in BertForTokenClassification, as the oldest packages have them, and ours."""

EMBEDDINGS = "trunk.embeddings.word_embeddings.weight"


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
    found = _read_weights(package)
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
    wanted = {name: value for name, value in trunk.state_dict().items() if "pooler" not in name}
    # The exporter's names begin with the attribute that held the trunk.
    parts = [(name.partition(".")[2], value) for name, value in found.items()]
    weights = _matched(package, wanted, parts)
    trunk.load_state_dict(weights, strict=False)
    model.tie_weights()
    return tokenizer


def load_packaged_model(model: TaskModel, package: Path, sample: Sequence[Input]) -> None:
    """Give `model` all weights of a package, and see that both say the same.

    Args:
        model: of the package's architecture; its embeddings take the package's vocabulary.
        package: a folder of the model store, fp32, whatever its weights are stored in.
        sample: inputs that both answer.

    Raises:
        StepError: no package, or one of another architecture or with other labels.
    """
    found = _read_weights(package)
    manifest = read_manifest(package)
    ours, theirs = (h.model_dump(exclude={"decoding"}) for h in (model.head, manifest.head))
    if ours != theirs:
        raise StepError(f"{package}: the recipe's data have other labels, or in another order")
    named = {_own_name(name): value for name, value in found.items()}
    if EMBEDDINGS in named:  # else it is missed below
        model.trunk.resize_token_embeddings(len(named[EMBEDDINGS]), mean_resizing=False)
    model.load_state_dict(_matched(package, model.state_dict(), list(named.items())))
    tokenizer = load_encoder(package, manifest)
    pairs = zip(
        real_outputs(torch_runner(model.eval()), tokenizer, sample, model.head),
        real_outputs(onnx_runner(package / MODEL), tokenizer, sample, model.head),
        strict=True,
    )
    gap = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    if not gap <= PARITY:
        raise StepError(f"{package}: under the recipe's encoder its outputs differ by {gap:.3g}")


def packaged_tokenizer(package: Path, max_tokens: int, stride: int) -> Encoder:
    """What a package reads with, if its windows are those that a recipe says.

    Raises:
        StepError: they are not.
    """
    found = load_encoder(package, read_manifest(package))
    wanted = {"max_tokens": max_tokens, "stride": stride}
    if not wanted.items() <= found.settings.items():
        raise StepError(f"{package} reads as {found.settings}, the recipe says {wanted}")
    return found


def _own_name(name: str) -> str:
    """Of a weight in a graph that was exported from a class of transformers."""
    for theirs, ours in PUBLISHED_NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _read_weights(package: Path) -> dict[str, Tensor]:
    if not (package / MODEL).is_file():
        raise StepError(
            f"{package} is no package: it has no {MODEL}. One that was replaced comes back with "
            "git restore --source=COMMIT, its commit is in DECISIONS.md"
        )
    return _weights(onnx.load(package / MODEL))


def _matched(
    package: Path, wanted: Mapping[str, Tensor], found: Sequence[tuple[str, Tensor]]
) -> dict[str, Tensor]:
    """For each weight that is wanted the one of its name and shape."""
    weights = {}
    for name, value in wanted.items():
        matches = [each for key, each in found if key == name]
        if len(matches) != 1 or matches[0].shape != value.shape:
            shapes = [tuple(each.shape) for each in matches]
            raise StepError(f"{package}: {name} is {shapes}, not the {tuple(value.shape)} of base")
        weights[name] = matches[0]
    return weights


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
