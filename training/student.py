"""How a student starts: from layers of its teacher, an encoder, or random weights.

Layers after Sanh et al. 2019, section 3; a narrower body after Bazaga et al., arXiv 2312.04193.
"""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn
from transformers import AutoModel
from transformers.modeling_utils import PreTrainedModel

from app.contract.heads import VectorHead
from training.errors import StepError
from training.pqrnn import Pqrnn
from training.pqrnn_student import start_pqrnn
from training.recipe import NarrowRecipe, StudentRecipe
from training.task_model import TaskModel, encoder_layers, new_model, set_dropout

Model = TypeVar("Model", bound=PreTrainedModel)


def start_student(
    recipe: StudentRecipe, teacher: TaskModel, encoder: str | None, *, seed: int
) -> TaskModel | Pqrnn:
    """A student before it is taught.

    Args:
        recipe: says how it starts.
        teacher: the first one.
        encoder: that it starts from, if its recipe names one; see training.hub.resolve_model.
        seed: of fresh weights.

    Raises:
        StepError: the recipe asks for what teacher or encoder do not have.
    """
    if recipe.pqrnn:
        return start_pqrnn(recipe, teacher.head, seed=seed)
    if recipe.narrow:
        return narrow_copy(teacher, recipe.narrow, dropout=recipe.dropout, seed=seed)
    student = teacher
    if encoder:
        student = from_encoder(encoder, teacher, dropout=recipe.dropout, seed=seed)
    if recipe.layers:
        student = shallow_copy(student, recipe.layers, dropout=recipe.dropout)
    if recipe.pairs == "apart":
        student = reading_apart(student)
    if encoder and recipe.trains == "adapters":
        student.tune_adapters(encoder)
    return student


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


def narrow_copy(teacher: TaskModel, sizes: NarrowRecipe, *, dropout: float, seed: int) -> TaskModel:
    """A student of the teacher's architecture and head in other sizes, with random weights.

    Raises:
        StepError: an architecture that names its sizes otherwise than BERT.
    """
    config = copy.deepcopy(teacher.trunk.config)
    wanted = {
        "num_hidden_layers": sizes.layers,
        "hidden_size": sizes.width,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner_width,
    }
    if not all(hasattr(config, name) for name in wanted):
        raise StepError(f"{config.model_type}: a narrow student needs a BERT-like teacher")
    for name, size in wanted.items():
        setattr(config, name, size)
    torch.manual_seed(seed)
    trunk = AutoModel.from_config(config, attn_implementation="eager")
    if getattr(trunk, "pooler", None) is not None:
        trunk.pooler = None  # as of a trunk that is loaded
    set_dropout(trunk, dropout)
    return TaskModel(trunk, teacher.head)


def reading_apart(model: TaskModel) -> TaskModel:
    """A bi-encoder on the trunk of a model, whose outputs it does not need."""
    return TaskModel(model.trunk, VectorHead(width=model.config.hidden_size))


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
