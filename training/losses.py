"""Distillation losses: leaves, each with its formula and source."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(
    student_logits: Tensor, teacher_probabilities: Tensor, *, temperature: float
) -> Tensor:
    """KL divergence from softened teacher probabilities (Hinton et al. 2015, section 2).

    T^2 * mean_rows KL(p_t || softmax(z_s / T)), p_t = softmax(z_t / T) or the mean of several
    teachers': the factor keeps gradients at their size when the temperature changes. Differs from
    the cross-entropy by the teacher's entropy.

    Args:
        student_logits: shape (rows, labels), float32.
        teacher_probabilities: same shape, at the same temperature; gradients are not propagated.
        temperature: > 0; 1.0 is the plain divergence.

    Returns:
        Scalar, in nats * temperature**2.

    Raises:
        ValueError: the shapes differ or temperature <= 0.
    """
    if student_logits.shape != teacher_probabilities.shape:
        raise ValueError(f"shapes differ: {student_logits.shape} and {teacher_probabilities.shape}")
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    return temperature**2 * functional.kl_div(
        functional.log_softmax(student_logits / temperature, dim=-1),
        teacher_probabilities.detach(),
        reduction="batchmean",
    )


def gold_loss(decisions: Tensor, targets: Tensor) -> Tensor | None:
    """Cross-entropy of classes, mean squared error of values; None where nothing is labelled.

    Where several classes may be right, it is -log of what they have together.

    Args:
        decisions: shape (units, labels), or (units, 1) for values.
        targets: shape (units,): classes, negative where unknown; or values, NaN where unknown. Or
            shape (units, labels): whether a class may be right; all may where it is unknown.
    """
    if targets.dtype == torch.bool:
        known = ~targets.all(dim=-1)
        right = decisions.masked_fill(~targets, -torch.inf)[known].logsumexp(dim=-1)
        return (decisions[known].logsumexp(dim=-1) - right).mean() if known.any() else None
    known = targets >= 0 if not targets.is_floating_point() else ~targets.isnan()
    if not known.any():
        return None
    if targets.is_floating_point():
        return functional.mse_loss(decisions[known, 0], targets[known])
    return functional.cross_entropy(decisions[known], targets[known])


def hidden_cosine(student_hidden: Tensor, teacher_hidden: Tensor) -> Tensor:
    """Mean over rows of 1 - cos(h_s, h_t) (DistilBERT; Sanh et al. 2019, section 2).

    Args:
        student_hidden: shape (rows, width).
        teacher_hidden: same shape; gradients are not propagated.

    Returns:
        Scalar in [0, 2].
    """
    similarity = functional.cosine_similarity(student_hidden, teacher_hidden.detach(), dim=-1)
    return torch.mean(1 - similarity)
