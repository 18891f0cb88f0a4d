"""The recurrence of quasi-recurrent networks, c_t = f_t * c_{t-1} + b_t, over a whole batch."""

from typing import Any

import torch
from torch import Tensor


class LinearRecurrence(torch.autograd.Function):
    """One fused multiply-add a step; what remains of the gradients is computed for all at once."""

    @staticmethod
    def forward(ctx: Any, forget: Tensor, update: Tensor) -> Tensor:  # noqa: ANN401  # torch's own
        """States.

        Args:
            ctx: of autograd.
            forget: shape (steps, ...), float32.
            update: same shape.

        Returns:
            Same shape; the state before the first step is 0.
        """
        states = torch.empty_like(update)
        states[0] = update[0]
        for step in range(1, len(update)):
            torch.addcmul(update[step], forget[step], states[step - 1], out=states[step])
        ctx.save_for_backward(forget, states)
        return states

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Gradients of both arguments."""
        forget, states = ctx.saved_tensors
        gradient = upstream.clone()
        for step in range(len(gradient) - 2, -1, -1):
            gradient[step].addcmul_(forget[step + 1], gradient[step + 1])
        of_forget = torch.zeros_like(forget)
        torch.mul(gradient[1:], states[:-1], out=of_forget[1:])
        return of_forget, gradient
