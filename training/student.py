"""DistilBERT-style students: every other layer of the teacher (Sanh et al. 2019, section 2)."""

import copy
from collections.abc import Sequence

from torch import nn
from transformers import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel

from training.errors import StepError

DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
)


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
        f"{type(model).__name__} has no encoder.layer or transformer.layer; "
        "layer-wise students need a BERT-like teacher"
    )


def set_dropout(config: PretrainedConfig, rate: float) -> None:
    """Set every dropout rate that an architecture's configuration has, by any of its names."""
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, rate)


def shallow_copy(
    teacher: PreTrainedModel, layers: Sequence[int], *, dropout: float
) -> PreTrainedModel:
    """A student with the teacher's embeddings, head and the named layers.

    Args:
        teacher: of depth N.
        layers: teacher layer (from 0) that starts each student layer.
        dropout: of the student.

    Raises:
        StepError: a layer the teacher does not have.
    """
    depth = len(encoder_layers(teacher))
    if max(layers) >= depth:
        raise StepError(f"student.layers {list(layers)}: the teacher has layers 0 to {depth - 1}")
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    if hasattr(config, "n_layers"):  # DistilBERT's own name
        config.n_layers = len(layers)
    set_dropout(config, dropout)
    config._attn_implementation = "eager"
    student = type(teacher)(config)
    kept = encoder_layers(teacher)
    state = {
        key: value
        for key, value in teacher.state_dict().items()
        if not _is_layer_key(key, teacher, kept)
    }
    student.load_state_dict(state, strict=False)
    for own, source in zip(encoder_layers(student), layers, strict=True):
        own.load_state_dict(kept[source].state_dict())
    return student


def _is_layer_key(key: str, model: PreTrainedModel, layers: nn.ModuleList) -> bool:
    prefix = next(name for name, module in model.named_modules() if module is layers)
    return key.startswith(f"{prefix}.")
