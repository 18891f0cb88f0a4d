"""Dropout from a pool: the right rate and scale, its gradient, and what torch's seed decides."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.dropout import POOL, PooledDropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_at_its_rate_and_keeps_the_scale(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    with PooledDropout():
        dropped = functional.dropout(torch.ones(1000, 200, dtype=dtype), 0.1)
    kept = dropped != 0
    assert dropped.dtype == dtype
    assert kept.float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert set(dropped[kept].tolist()) == {torch.tensor(1 / 0.9, dtype=dtype).item()}


def test_the_gradient_passes_where_the_value_did() -> None:
    values = torch.ones(4000, requires_grad=True)
    with PooledDropout():
        dropped = nn.Dropout(0.3)(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())


def test_the_seed_decides_and_each_call_differs() -> None:
    layer = nn.Dropout(0.5)
    values = torch.ones(64, 64)
    with PooledDropout():
        torch.manual_seed(3)
        first, second = layer(values), layer(values)
        torch.manual_seed(3)
        again = layer(values)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_in_place_and_in_evaluation() -> None:
    values = torch.ones(100)
    with PooledDropout():
        assert torch.equal(nn.Dropout(0.5).eval()(values), values)
        assert functional.dropout(values, 0.5, inplace=True) is values
    assert (values == 0).any()


def test_a_tensor_too_large_for_the_pool_has_its_own_drawn() -> None:
    with PooledDropout():
        dropped = functional.dropout(torch.ones(POOL // 2 + 1, dtype=torch.bfloat16), 0.5)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
