"""A line fitted to made-up points, by as many processes as `accelerate launch` starts."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from training.batches import BatchPlan
from training.loop import LoopSettings, fit

POINTS = torch.randn(42, 4, generator=torch.Generator().manual_seed(0))


class Line(nn.Module):
    """In float32 throughout: autocast leaves products element by element alone."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(4))
        self.unused = nn.Parameter(torch.ones(2, 2))

    def forward(self, points: Tensor) -> Tensor:
        return (points * self.slope).sum(1)


def train(folder: Path) -> nn.Module:
    """Eight steps in batches of 12; the last batch of an epoch is smaller."""
    module = Line()
    plan = BatchPlan([1] * len(POINTS), batch_size=12, seed=0)

    def losses(chosen: list[int]) -> dict[str, Tensor]:
        points = POINTS[chosen]
        return {"square": (module(points) - points.sum(1)).pow(2).mean()}

    fit(
        module,
        LoopSettings(total_steps=8, learning_rate=0.1, evaluate_every=4),
        batch_at=plan.at,
        losses=losses,
        evaluate=lambda: {"slope": module.slope.sum().item()},
        checkpoint=folder / "checkpoint.pt",
        seed=0,
        title="toy",
    )
    return module


if __name__ == "__main__":
    train(Path(sys.argv[1]))
