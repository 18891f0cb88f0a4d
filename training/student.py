"""DistilBERT-style students: every other layer of the teacher (Sanh et al. 2019, section 2)."""

import copy
from collections.abc import Sequence

from torch import nn

from training.errors import StepError
from training.task_model import TaskModel, encoder_layers, set_dropout


def shallow_copy(teacher: TaskModel, layers: Sequence[int], *, dropout: float) -> TaskModel:
    """A student with the teacher's embeddings, outputs and the named layers.

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
    student = copy.deepcopy(teacher).cpu()
    base = student.base_model
    stack = nn.ModuleList(encoder_layers(student)[i] for i in layers)
    (base.encoder if hasattr(base, "encoder") else base.transformer).layer = stack
    config = base.config
    config.num_hidden_layers = len(layers)
    if hasattr(config, "n_layers"):  # DistilBERT's own name
        config.n_layers = len(layers)
    set_dropout(base, dropout)
    student.dropout.p = dropout
    return student
