from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.batches import BatchPlan
from training.errors import StepError
from training.loop import LoopSettings, autocast, device, fit

DATA = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


class Interrupted(Exception):
    """Stands for a session that ends in the middle."""


def settings(total_steps: int = 20, **changes: float) -> LoopSettings:
    return LoopSettings(
        total_steps=total_steps, learning_rate=0.05, checkpoint_seconds=0, **changes
    )


def train(
    folder: Path,
    given: LoopSettings,
    *,
    stop_at: int | None = None,
    scale: float = 1.0,
    dropout: float = 0.0,
) -> nn.Module:
    """Fit a line to DATA; `stop_at` interrupts before that step."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Dropout(dropout), nn.Linear(4, 1))
    plan = BatchPlan([1] * len(DATA), batch_size=8, seed=0)

    def batch_at(step: int) -> Tensor:
        if step == stop_at:
            raise Interrupted
        return DATA[plan.at(step)] * scale

    def losses(batch: Tensor) -> dict[str, Tensor]:
        return {"square": (module(batch).float().squeeze(1) - batch.sum(1)).pow(2).mean()}

    fit(
        module,
        given,
        batch_at=batch_at,
        losses=losses,
        evaluate=None,
        checkpoint=folder / "checkpoint.pt",
        seed=0,
        title="test",
    )
    return module


def folders(root: Path) -> tuple[Path, Path]:
    (root / "a").mkdir()
    (root / "b").mkdir()
    return root / "a", root / "b"


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, parts = folders(tmp_path)
    expected = train(whole, settings(), dropout=0.5).state_dict()

    with pytest.raises(Interrupted):
        train(parts, settings(), stop_at=7, dropout=0.5)
    resumed = train(parts, settings(), dropout=0.5).state_dict()

    for name, tensor in expected.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    module = train(tmp_path, settings(200))

    error = (module(DATA).squeeze(1) - DATA.sum(1)).pow(2).mean().item()
    assert error < 0.05


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, settings(), stop_at=5)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    with pytest.raises(
        StepError, match=r"loss is not finite at step 5 .* last good checkpoint stays"
    ):
        train(tmp_path, settings(), scale=float("inf"))

    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_gradient_that_is_not_finite_is_never_applied(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)

    def losses(batch: int) -> dict[str, Tensor]:
        return {"root": module(torch.zeros(1, 1)).mul(0).sqrt().sum()}  # d sqrt(x) at 0

    with pytest.raises(StepError, match="the gradient is not finite at step 0"):
        fit(
            module,
            settings(),
            batch_at=lambda step: step,
            losses=losses,
            evaluate=None,
            checkpoint=tmp_path / "checkpoint.pt",
            seed=0,
            title="test",
        )

    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, settings(), stop_at=5)

    with pytest.raises(StepError, match="made with other settings"):
        train(tmp_path, settings(weight_decay=0.5))


def test_the_length_may_change_until_the_decay_begins(tmp_path: Path) -> None:
    plateau = {"warmup_share": 0.1, "decay_share": 0.5}
    early, late = folders(tmp_path)
    shortened = tmp_path / "c"
    shortened.mkdir()
    with pytest.raises(Interrupted):
        train(shortened, settings(20, **plateau), stop_at=8)
    with pytest.raises(Interrupted):
        train(early, settings(20, **plateau), stop_at=8)
    with pytest.raises(Interrupted):
        train(late, settings(20, **plateau), stop_at=12)

    train(early, settings(40, **plateau))
    with pytest.raises(StepError, match=r"step 12 of 20; .* 40 only before the decay at step 10"):
        train(late, settings(40, **plateau))
    with pytest.raises(StepError, match=r"step 8 of 20; .* 10 only before the decay at step 5"):
        train(shortened, settings(10, **plateau))


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, settings(), stop_at=5)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def no_space(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    with pytest.raises(StepError, match="No space left on device"):
        train(tmp_path, settings())

    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / "checkpoint.tmp").exists()


def test_the_rate_rises_stays_and_falls() -> None:
    plateau = LoopSettings(total_steps=100, learning_rate=1.0, warmup_share=0.1, decay_share=0.2)

    rates = [plateau.rate_at(step) for step in (0, 4, 9, 50, 80, 90, 99)]

    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0, 0.5, 0.05])


def test_a_plan_shows_every_example_once_an_epoch_and_groups_lengths() -> None:
    lengths = [i % 37 for i in range(500)]
    plan = BatchPlan(lengths, batch_size=8, seed=3)

    for epoch in range(2):
        start = epoch * plan.steps_per_epoch
        batches = [plan.at(start + i) for i in range(plan.steps_per_epoch)]
        assert sorted(i for batch in batches for i in batch) == list(range(500))
        spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
        assert sum(spread) / len(spread) < 3
    assert plan.at(0) != plan.at(plan.steps_per_epoch)


def test_products_are_bfloat16_only_where_the_hardware_multiplies_it() -> None:
    capabilities = torch.cpu.get_capabilities()
    has_it = any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    one = torch.ones(2, 2, device=device())

    with autocast():
        product = one @ one

    is_gpu = device().type == "cuda"
    assert product.dtype is (torch.bfloat16 if is_gpu or has_it else torch.float32)
