"""A Transformer and the outputs of a head on top of it, for every task and architecture."""

import inspect
import json
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from app.contract.heads import Head, VectorHead
from training.adapters import freeze_trunk, load_adapters, save_adapters, trunk_source
from training.errors import StepError
from training.hub import resolve_model
from training.minialbert import MiniAlbertModel

HEAD = "head.json"
OUTPUTS = "outputs.safetensors"
FIRST_TOKEN = "first_token.safetensors"
HIDDEN = "last_hidden_state"
_HEAD: TypeAdapter[Head] = TypeAdapter(Head)
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
)


class FirstToken(nn.Module):
    """A text as its first token says it, the way of BERT's and DistilBERT's classifiers."""

    def __init__(self, dense: nn.Linear, activation: str) -> None:
        """Put an activation behind a layer.

        Args:
            dense: of the width of the hidden states.
            activation: "tanh" or "relu".
        """
        super().__init__()
        self.dense = dense
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """Last hidden states of shape (rows, length, width) to texts of shape (rows, width)."""
        dense = self.dense(hidden[:, 0])
        return torch.tanh(dense) if self.activation == "tanh" else torch.relu(dense)


class TaskModel(PreTrainedModel):
    """A trunk with one linear layer for each output of a head.

    Outputs of tokens are read off their last hidden states, outputs of texts off the mean of those
    of their real tokens, or off the first one. A vector is that mean itself, at length 1.

    Attributes:
        trunk: the encoder.
        trunk_source: of a trunk that stays as it is (training.adapters): where it lies.
        head: names and widths of the outputs.
        first_token: reads texts; None for the mean.
    """

    config_class = PretrainedConfig
    base_model_prefix = "trunk"
    _supports_sdpa = True  # attention is the trunk's business

    def __init__(
        self, trunk: PreTrainedModel, head: Head, *, first_token: FirstToken | None = None
    ) -> None:
        """Put fresh outputs on a trunk.

        Args:
            trunk: last hidden states of shape (rows, length, config.hidden_size).
            head: names and widths of the outputs.
            first_token: reads texts, of a model that was fine-tuned so; None for the mean.
        """
        super().__init__(trunk.config)
        self.trunk = trunk
        self.trunk_source: str | None = None
        self.head = head
        self.first_token = first_token
        takes_types = "token_type_ids" in inspect.signature(trunk.forward).parameters
        # RoBERTa takes types and knows one only.
        self._reads_types = takes_types and getattr(trunk.config, "type_vocab_size", 0) > 1
        rates = [getattr(trunk.config, name) for name in DROPOUTS if hasattr(trunk.config, name)]
        self.dropout = nn.Dropout(rates[0] if rates else 0.0)
        width = trunk.config.hidden_size
        self.outputs = nn.ModuleDict(
            {}
            if isinstance(head, VectorHead)
            else {output.name: nn.Linear(width, output.width or 1) for output in head.outputs}
        )
        for layer in self.outputs.values():
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    @property
    def hidden_size(self) -> int:
        """Width of the last hidden states."""
        return self.config.hidden_size

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Run a batch of shape (rows, length).

        Returns:
            The head's outputs by name, and the last hidden states.
        """
        read = self._read(input_ids, attention_mask, token_type_ids)
        return self._decide(read[0], attention_mask)

    def all_layers(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The same, and what is inside.

        Returns:
            Also `states_0` (the embeddings) and, of each layer n from 1, `states_n` and
            `attention_n`, shape (rows, heads, length, length).
        """
        wanted = {"output_attentions": True, "output_hidden_states": True}
        read = self._read(input_ids, attention_mask, token_type_ids, **wanted)
        states = {f"states_{n}": layer for n, layer in enumerate(read.hidden_states)}
        maps = {f"attention_{n}": layer for n, layer in enumerate(read.attentions, start=1)}
        return self._decide(read[0], attention_mask) | states | maps

    def _read(
        self, input_ids: Tensor, mask: Tensor, type_ids: Tensor | None, **wanted: bool
    ) -> ModelOutput:
        types = {"token_type_ids": type_ids} if self._reads_types else {}
        return self.trunk(input_ids=input_ids, attention_mask=mask, **types, **wanted)

    def _decide(self, hidden: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        kept = self.dropout(hidden)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (kept * mask).sum(dim=1) / mask.sum(dim=1)
        results = {HIDDEN: hidden}
        if isinstance(self.head, VectorHead):
            return results | {"vector": functional.normalize(mean.float(), dim=-1)}
        text = self.dropout(self.first_token(hidden)) if self.first_token else mean
        for output in self.head.outputs:
            values = self.outputs[output.name](kept if output.per_token else text)
            results[output.name] = values if output.width else values.squeeze(-1)
        return results

    def tune_adapters(self, source: str) -> None:
        """Train adapters and outputs only.

        Raises:
            StepError: a trunk without adapters.
        """
        freeze_trunk(self.trunk, source)
        self.trunk_source = source

    def save(self, folder: Path) -> None:
        """Write a folder whose trunk `from_pretrained` reads too; of a shared one the adapters."""
        if self.trunk_source:
            save_adapters(self.trunk, folder, source=self.trunk_source)
        else:
            self.trunk.save_pretrained(folder)
        save_file(self.outputs.state_dict(), folder / OUTPUTS)
        if self.first_token is not None:
            activation = {"activation": self.first_token.activation}
            save_file(self.first_token.state_dict(), folder / FIRST_TOKEN, metadata=activation)
        write_head(self.head, folder)

    @classmethod
    def load(cls, folder: Path) -> "TaskModel":
        """Read what `save` wrote.

        Raises:
            StepError: adapters whose trunk is not the one they were trained on.
        """
        source = trunk_source(folder)
        trunk = load_trunk(source or str(folder))
        model = cls(trunk, read_head(folder), first_token=_read_first_token(folder))
        if source:
            load_adapters(trunk, folder)
            model.tune_adapters(source)
        model.outputs.load_state_dict(load_file(folder / OUTPUTS))
        return model


def write_head(head: Head, folder: Path) -> None:
    """Save the head of a model."""
    (folder / HEAD).write_text(head.model_dump_json(indent=1), encoding="utf-8")


def read_head(folder: Path) -> Head:
    """The head of a saved model."""
    return _HEAD.validate_python(json.loads((folder / HEAD).read_text(encoding="utf-8")))


def load_trunk(source: str) -> PreTrainedModel:
    """An encoder without any head or pooler; see training.hub.resolve_model for `source`."""
    trunk = AutoModel.from_pretrained(resolve_model(source), attn_implementation="eager")
    if getattr(trunk, "pooler", None) is not None:
        trunk.pooler = None  # unused, and its weights would be counted and exported
    return trunk


def vector_head(source: str) -> VectorHead:
    """The head that makes a bi-encoder of an encoder."""
    return VectorHead(width=AutoConfig.from_pretrained(resolve_model(source)).hidden_size)


def _read_first_token(folder: Path) -> FirstToken | None:
    if not (folder / FIRST_TOKEN).exists():
        return None
    with safe_open(folder / FIRST_TOKEN, "pt") as file:
        activation = file.metadata()["activation"]
    weights = load_file(folder / FIRST_TOKEN)
    first_token = FirstToken(nn.Linear(*weights["dense.weight"].T.shape), activation)
    first_token.load_state_dict(weights)
    return first_token


def new_model(source: str, head: Head, *, dropout: float, seed: int) -> TaskModel:
    """An encoder with fresh outputs.

    Args:
        source: see training.hub.resolve_model.
        head: of the task.
        dropout: every rate of the architecture.
        seed: of the fresh weights.

    Raises:
        StepError: an architecture without a stack of layers to copy students from.
    """
    torch.manual_seed(seed)
    trunk = load_trunk(source)
    set_dropout(trunk, dropout)
    model = TaskModel(trunk, head)
    if not isinstance(trunk, MiniAlbertModel):
        encoder_layers(model)  # refuses what no student could be made of, before training it
    return model


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The stack of Transformer layers of a BERT-, RoBERTa- or DistilBERT-like model.

    Raises:
        StepError: another architecture.
    """
    base = model.base_model
    for holder, name in (("encoder", "layer"), ("transformer", "layer")):
        layers = getattr(getattr(base, holder, None), name, None)
        if isinstance(layers, nn.ModuleList):
            return layers
    raise StepError(
        f"{type(base).__name__} has no encoder.layer or transformer.layer; "
        "layer-wise students need a BERT-like teacher"
    )


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Set every dropout of a model, and the rates in its configuration by any of their names."""
    for name in DROPOUTS:
        if hasattr(model.config, name):
            setattr(model.config, name, rate)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
