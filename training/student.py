"""How a student starts: from layers of its teacher (Sanh et al. 2019, section 3), or an encoder."""

import copy
from collections.abc import Sequence
from typing import TypeVar

from torch import nn
from transformers.modeling_utils import PreTrainedModel

from app.contract.heads import VectorHead
from training.errors import StepError
from training.task_model import TaskModel, encoder_layers, new_model, set_dropout

Model = TypeVar("Model", bound=PreTrainedModel)


def shallow_copy(teacher: TaskModel, layers: Sequence[int], *, dropout: float) -> TaskModel:
    """A student with the teacher's embeddings, outputs and the named layers.

    Args:
        teacher: of depth N.
        layers: teacher layer (from 0) that starts each student layer.
        dropout: of the student.

    Raises:
        StepError: a layer the teacher does not have.
    """
    student = copy_layers(teacher, layers)
    set_dropout(student.base_model, dropout)
    student.dropout.p = dropout
    return student


def from_encoder(source: str, teacher: TaskModel, *, dropout: float, seed: int) -> TaskModel:
    """A student on an encoder of its own, with the teacher's outputs where the width fits.

    An encoder that was distilled from the teacher's has learnt hidden states of the same direction,
    and the teacher's outputs are what reads those.

    Args:
        source: see training.hub.resolve_model.
        teacher: gives the head.
        dropout: of the student.
        seed: of outputs that must start fresh.
    """
    student = new_model(source, teacher.head, dropout=dropout, seed=seed)
    if student.config.hidden_size == teacher.config.hidden_size:
        student.outputs.load_state_dict(teacher.outputs.state_dict())
        student.first_token = copy.deepcopy(teacher.first_token)
    return student


def reading_apart(student: TaskModel) -> TaskModel:
    """A bi-encoder on the trunk of a student, whose outputs it does not need."""
    return TaskModel(student.trunk, VectorHead(width=student.config.hidden_size))


def copy_layers(model: Model, layers: Sequence[int]) -> Model:
    """A copy of a model with some of its layers, and everything else.

    Raises:
        StepError: a layer the model does not have.
    """
    depth = len(encoder_layers(model))
    if max(layers) >= depth:
        raise StepError(f"layers {list(layers)}: the teacher has layers 0 to {depth - 1}")
    copied = copy.deepcopy(model).cpu()
    base = copied.base_model
    stack = nn.ModuleList(encoder_layers(copied)[i] for i in layers)
    (base.encoder if hasattr(base, "encoder") else base.transformer).layer = stack
    config = base.config
    config.num_hidden_layers = len(layers)
    if hasattr(config, "n_layers"):  # DistilBERT's own name
        config.n_layers = len(layers)
    return copied
