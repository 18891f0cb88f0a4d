"""8-bit affine quantization that gradients pass through, as integer kernels will compute it.

Weights take the range of the current tensor, activations a fixed range or a moving one; every range
holds 0, and 0 is exact. Inside a range gradients pass unchanged (Jacob et al. 2018, section 3).
"""

import torch
from torch import Tensor, nn

LEVELS = 255
SMALLEST_RANGE = 1e-6
KEPT = 0.99
"""Share of the old range that a moving range keeps at each step."""


def scale_and_zero(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Step and zero point of ranges that hold 0: value = scale * (integer - zero), 0 to 255."""
    scale = (high - low).clamp_min(SMALLEST_RANGE) / LEVELS
    return scale, (-low / scale).round().clamp(0, LEVELS).to(torch.int32)


def weight_grid(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Step and zero point of each matrix.

    Args:
        weight: shape (matrices, ...).

    Returns:
        Two tensors of shape (matrices,).
    """
    flat = weight.detach().flatten(1)
    return scale_and_zero(flat.amin(1).clamp_max(0), flat.amax(1).clamp_min(0))


def fake_quantized_weight(weight: Tensor) -> Tensor:
    """Matrices on their grids; shape (matrices, ...)."""
    scale, zero = weight_grid(weight)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, 0, LEVELS)


class ActivationRange(nn.Module):
    """Where activations lie; puts them on the grid of that range.

    In training a moving range follows the batches and the batch's own range is the grid, in
    evaluation the moving range is.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        """Take a fixed range, or none for a moving one."""
        super().__init__()
        self.moves = low is None
        self.register_buffer("low", torch.tensor(0.0 if low is None else low))
        self.register_buffer("high", torch.tensor(0.0 if high is None else high))
        self.register_buffer("seen", torch.tensor(not self.moves))

    def forward(self, values: Tensor, *, quantize: bool) -> Tensor:
        """Values of any shape on the grid, float32; as they are without `quantize`."""
        values = values.float()
        low, high = self.low, self.high
        if self.moves and self.training:
            low, high = values.detach().amin().clamp_max(0), values.detach().amax().clamp_min(0)
            kept = KEPT * self.seen
            self.low.mul_(kept).add_((1 - kept) * low)
            self.high.mul_(kept).add_((1 - kept) * high)
            self.seen.fill_(True)
        if not quantize:
            return values
        return torch.fake_quantize_per_tensor_affine(values, *scale_and_zero(low, high), 0, LEVELS)

    @property
    def grid(self) -> tuple[float, int]:
        """Step and zero point of the range."""
        scale, zero = scale_and_zero(self.low, self.high)
        return float(scale), int(zero)
