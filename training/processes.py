"""Several processes that train as one: `accelerate launch` starts them, each learns from its parts.

Without it there is one process, whose parts are whole batches, and nothing here changes a number.
A batch may also be cut into parts that one process takes one after the other, to save memory:
`ACCELERATE_GRADIENT_ACCUMULATION_STEPS`, as accelerate has it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object, reduce
from torch import nn

Batch = TypeVar("Batch")
Cut = Callable[[Any, int], Sequence[tuple[Any, float]]]
"""Cuts a batch into at most so many parts, each with its share of the batch; shares sum to 1."""


@cache
def _accelerator() -> Accelerator:
    return Accelerator()


def several() -> bool:
    """Whether there are others."""
    return _accelerator().num_processes > 1


def is_main() -> bool:
    """Whether this is the one that writes files, measures and registers."""
    return _accelerator().is_main_process


def own_number() -> int:
    """Of this process, from 0."""
    return _accelerator().process_index


def own_device() -> torch.device:
    """What accelerate gave to this process."""
    return _accelerator().device


def wait() -> None:
    """Go on when all have come here."""
    _accelerator().wait_for_everyone()


def main_first() -> AbstractContextManager[None]:
    """The main process does what is inside before the others do."""
    return _accelerator().main_process_first()


def agreed(value: bool) -> bool:
    """What the main process says, whatever the others have seen."""
    if not several():
        return value
    return bool(broadcast_object_list([value])[0])


def cut_list(batch: Sequence, parts: int) -> list[tuple[Sequence, float]]:
    """Every n-th item goes to the same part, so that parts of a sorted batch are alike.

    >>> cut_list([1, 2, 3], 2)
    [([1, 3], 0.6666666666666666), ([2], 0.3333333333333333)]
    """
    chosen = [batch[i::parts] for i in range(min(parts, len(batch)))]
    return [(part, len(part) / len(batch)) for part in chosen]


def own_parts(batch: Batch, cut: Cut) -> Sequence[tuple[Batch, float]]:
    """The parts of a batch that this process learns from; none if there are too few."""
    accelerator = _accelerator()
    wanted = accelerator.num_processes * accelerator.gradient_accumulation_steps
    if wanted == 1:
        return [(batch, 1.0)]
    return cut(batch, wanted)[accelerator.process_index :: accelerator.num_processes]


def start_alike(module: nn.Module) -> None:
    """Give every process the weights of the main one."""
    if several():
        for name, tensor in module.state_dict().items():
            module.state_dict()[name].copy_(broadcast(tensor.clone()))


def add_gradients(module: nn.Module) -> None:
    """Sum the gradients of all processes; a parameter that nobody used keeps none."""
    if not several():
        return
    trained = [p for p in module.parameters() if p.requires_grad]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    used = torch.tensor([float(p.grad is not None) for p in trained], device=grads[0].device)
    flat = reduce(torch.cat([*(grad.float().flatten() for grad in grads), used]), "sum")
    *sums, used = flat.split([*(p.numel() for p in trained), len(trained)])
    for parameter, total, users in zip(trained, sums, used.tolist(), strict=True):
        parameter.grad = total.view_as(parameter).to(parameter.dtype) if users else None


def summed(values: dict[str, float]) -> dict[str, float]:
    """Numbers of all processes, added by name."""
    if not several():
        return values
    total: dict[str, float] = {}
    for found in gather_object([values]):
        for name, value in found.items():
            total[name] = total.get(name, 0.0) + value
    return total
