"""What a student learns from inside of its teacher: attention, embeddings, hidden states.

After Bazaga et al. (arXiv 2312.04193), whose code compares every k-th layer of the teacher with one
of the student, k times shallower (TinyBERT; Jiao et al. 2020, section 3.1):
    L_attention = sum over m = 1..M of mean KL(A_t^(k m) || A_s^m)
    L_states = sum over m = 0..M of MSE(W h_s^m + b, h_t^(k m)), m = 0: the embeddings
Theirs is the squared error of attention probabilities, which at a few hundred tokens is too small
to matter; the divergence of each token's row is not. Padding counts in neither.
"""

import torch
from torch import Tensor, nn

from training.errors import StepError
from training.recipe import LossWeights
from training.task_model import TaskModel, encoder_layers


class LayerMatch(nn.Module):
    """A student's layers beside its teacher's, and the map between widths if these differ."""

    def __init__(self, student: TaskModel, teacher: TaskModel, weights: LossWeights) -> None:
        """Match every k-th layer.

        Args:
            student: M layers.
            teacher: k M layers.
            weights: of `attention` and `states`.

        Raises:
            StepError: the depths do not divide, or attention has other heads.
        """
        super().__init__()
        ours, theirs = (len(encoder_layers(model)) for model in (student, teacher))
        if theirs % ours:
            raise StepError(
                f"a student of {ours} layers cannot be matched with a teacher of {theirs}: choose "
                "a divisor, or set weights.attention and weights.states to 0"
            )
        heads = student.config.num_attention_heads, teacher.config.num_attention_heads
        if weights.attention and heads[0] != heads[1]:
            raise StepError(
                f"the student has {heads[0]} attention heads and the teacher {heads[1]}: set "
                "weights.attention to 0"
            )
        self._weights = weights
        self._matched = {n: n * theirs // ours for n in range(ours + 1)}
        widths = student.hidden_size, teacher.hidden_size
        self.map = nn.Identity() if widths[0] == widths[1] else nn.Linear(*widths)

    def forward(
        self, student: dict[str, Tensor], teacher: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """The weighted terms of one batch.

        Args:
            student: outputs of a TaskModel with all layers.
            teacher: the same.
            mask: True at real tokens, shape (rows, length).
        """
        parts: dict[str, Tensor] = {}
        if self._weights.attention:
            found = [
                attention_divergence(student[f"attention_{n}"], teacher[f"attention_{m}"], mask)
                for n, m in self._matched.items()
                if n > 0
            ]
            parts["attention"] = self._weights.attention * torch.stack(found).sum()
        if self._weights.states:
            found = [
                state_error(self.map(student[f"states_{n}"]), teacher[f"states_{m}"], mask)
                for n, m in self._matched.items()
            ]
            parts["states"] = self._weights.states * torch.stack(found).sum()
        return parts


def attention_divergence(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean KL(a_t || a_s) over heads and real tokens, a row of attention each, in nats.

    Args:
        student: probabilities over the keys, shape (rows, heads, length, length); padding has none.
        teacher: same shape; gradients are not propagated.
        mask: True at real tokens, shape (rows, length).
    """
    tiny = torch.finfo(torch.float32).tiny
    theirs = teacher.detach().float()
    logs = theirs.clamp_min(tiny).log() - student.float().clamp_min(tiny).log()
    rows = (theirs * logs).sum(dim=-1).mean(dim=1)
    return rows[mask].mean()


def state_error(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of hidden states over real tokens and dimensions.

    Args:
        student: shape (rows, length, width).
        teacher: same shape; gradients are not propagated.
        mask: True at real tokens, shape (rows, length).
    """
    return nn.functional.mse_loss(student[mask].float(), teacher.detach()[mask].float())
