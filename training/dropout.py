"""Dropout whose masks are cut from one pool of draws, which costs a CPU next to nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

POOL = 1 << 25
"""Draws a pool holds; a tensor of more than half as many has its own drawn."""


class PooledDropout(TorchFunctionMode):
    """Within it, every dropout multiplies by a stretch of a pool of scaled Bernoulli draws.

    Where a stretch begins is drawn by torch's own generator, so `torch.manual_seed` decides it.
    Drawing each element anew is a quarter of a step where matrix products are fast (DECISIONS 079).
    """

    def __init__(self) -> None:
        """Start without a pool; each rate and precision gets its own when it is first met."""
        super().__init__()
        self._pools: dict[tuple[float, torch.dtype], Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:  # noqa: ANN401  # torch's own
        """Put `_dropout` in the place of torch's."""
        called = self._dropout if func is functional.dropout else func
        return called(*args, **(kwargs or {}))

    def _dropout(
        self, values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        count = values.numel()
        if not training or not 0 < p < 1 or count > POOL // 2 or values.device.type != "cpu":
            return functional.dropout(values, p, training, inplace)
        pool = self._pool(p, values.dtype)
        start = int(torch.randint(POOL - count, ()))
        mask = pool[start : start + count].view(values.shape)
        return values.mul_(mask) if inplace else values * mask

    def _pool(self, p: float, dtype: torch.dtype) -> Tensor:
        if (p, dtype) not in self._pools:
            generator = torch.Generator().manual_seed(0)
            draws = torch.empty(POOL, dtype=dtype).bernoulli_(1 - p, generator=generator)
            self._pools[p, dtype] = draws.div_(1 - p)
        return self._pools[p, dtype]
