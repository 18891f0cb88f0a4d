"""Distillation losses: leaves, each with its formula and source."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float
) -> Tensor:
    """KL divergence from softened teacher probabilities (Hinton et al. 2015, section 2).

    T^2 * mean_rows KL(softmax(z_t / T) || softmax(z_s / T)): the factor keeps gradients at their
    size when the temperature changes. Differs from the cross-entropy by the teacher's entropy.

    Args:
        student_logits: shape (rows, labels), float32.
        teacher_logits: same shape; gradients are not propagated.
        temperature: > 0; 1.0 is the plain divergence.

    Returns:
        Scalar, in nats * temperature**2.

    Raises:
        ValueError: the shapes differ or temperature <= 0.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(f"shapes differ: {student_logits.shape} and {teacher_logits.shape}")
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    return temperature**2 * functional.kl_div(
        functional.log_softmax(student_logits / temperature, dim=-1),
        functional.log_softmax(teacher_logits.detach() / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )


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
