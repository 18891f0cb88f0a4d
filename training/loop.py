"""One training loop for every step that trains: schedule, mixed precision, checkpoints, resume.

A step passes `batch_at`, a pure function of the step number, so that a resumed run sees the very
batches the uninterrupted run would have seen. Under `accelerate launch` every process takes its
parts of each batch (training.processes).
"""

import functools
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training import processes
from training.dropout import PooledDropout
from training.errors import StepError
from training.files import replace, write_text

logger = logging.getLogger(__name__)
Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How one training run proceeds.

    Attributes:
        total_steps: optimizer steps.
        learning_rate: peak, reached after the warm-up.
        warmup_share: share of all steps spent rising linearly from 0, in [0, 1).
        decay_share: share of all steps spent falling linearly to 0 at the end, in (0, 1];
            1 - warmup_share gives the usual linear decay, less gives a plateau between
            (warm-up, stable, decay: the plateau may be prolonged before the decay has begun).
        weight_decay: AdamW's, on matrices only (not on biases and normalization weights).
        max_grad_norm: gradient norm is clipped here.
        betas: AdamW's moments.
        evaluate_every: steps between evaluations; 0 evaluates at the end only.
        checkpoint_seconds: wall-clock seconds between checkpoints.
    """

    total_steps: int
    learning_rate: float
    warmup_share: float = 0.1
    decay_share: float = 0.9
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    evaluate_every: int = 0
    checkpoint_seconds: float = 180.0

    def rate_at(self, step: int) -> float:
        """Learning rate of optimizer step `step`, counted from 0."""
        warmup_steps = self.warmup_share * self.total_steps
        decay_steps = self.decay_share * self.total_steps
        rising = (step + 1) / warmup_steps if warmup_steps > 0 else 1.0
        falling = (self.total_steps - step) / decay_steps
        return self.learning_rate * max(0.0, min(1.0, rising, falling))


def fit(
    module: nn.Module,
    settings: LoopSettings,
    *,
    batch_at: Callable[[int], Batch],
    losses: Callable[[Batch], dict[str, Tensor]],
    cut: processes.Cut = processes.cut_list,
    evaluate: Callable[[], dict[str, float]] | None,
    checkpoint: Path,
    seed: int,
    title: str,
) -> list[dict[str, float]]:
    """Train `module` in place, resuming from `checkpoint` if it exists.

    Args:
        module: parameters to train; moved to the GPU if there is one.
        settings: schedule and bounds.
        batch_at: step number -> batch, without hidden state.
        losses: batch -> named scalars; their sum is minimized, "total" must not be a name.
        cut: how a batch is cut for several processes, or to save memory.
        evaluate: called in eval mode without gradients, by the main process; its numbers go into
            the history.
        checkpoint: file for the state, written by the main process; its history also goes to
            `history.json` beside it.
        seed: of dropout.
        title: what the progress bar says.

    Returns:
        The history: per evaluation step, seconds, learning rate, mean losses, evaluation.

    Raises:
        StepError: the loss is not finite, the checkpoint belongs to other settings, or it cannot
            be written (a full disk); the last good checkpoint stays as it was.
    """
    module.to(device())
    processes.start_alike(module)
    optimizer = _optimizer(module, settings)
    state = _resume(checkpoint, module, optimizer, settings)
    step, elapsed, history = state["step"], state["elapsed"], state["history"]
    running: dict[str, float] = {}
    since_evaluation = 0
    started = saved = time.monotonic()
    dropout = PooledDropout()
    module.train()
    kept = (
        f"the last good checkpoint stays in {checkpoint.parent}; a lower learning_rate than "
        f"{settings.learning_rate} starts the step anew beside it"
    )
    steps = tqdm(
        total=settings.total_steps,
        initial=step,
        desc=title,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        disable=not processes.is_main(),
    )
    while step < settings.total_steps:
        for group in optimizer.param_groups:
            group["lr"] = settings.rate_at(step)
        # Dropout, too, is a function of the step: a resumed run draws what it would have drawn.
        torch.manual_seed(seed * 1_000_003 + step + processes.own_number() * 1_000_000_007)
        for part, share in processes.own_parts(batch_at(step), cut):
            with autocast(), dropout:
                terms = losses(part)
            total = torch.stack(list(terms.values())).sum()
            if not math.isfinite(total.item()):
                names = {name: term.item() for name, term in terms.items()}
                raise StepError(f"{title}: the loss is not finite at step {step} ({names}); {kept}")
            (total * share).backward()
            for name, term in terms.items():
                running[name] = running.get(name, 0.0) + term.item() * share
        processes.add_gradients(module)
        norm = nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm).item()
        if not math.isfinite(norm):
            raise StepError(f"{title}: the gradient is not finite at step {step}; {kept}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        steps.update()
        since_evaluation += 1
        now = time.monotonic()
        is_last = step == settings.total_steps
        if is_last or (settings.evaluate_every and step % settings.evaluate_every == 0):
            entry: dict[str, float] = {"step": step, "seconds": elapsed + now - started}
            entry |= {"learning_rate": settings.rate_at(step - 1)}
            means = processes.summed(running)
            entry |= {name: value / since_evaluation for name, value in means.items()}
            if processes.is_main():
                entry |= _evaluated(module, evaluate)
            history.append(entry)
            running, since_evaluation = {}, 0
            steps.set_postfix({name: f"{value:.4g}" for name, value in list(entry.items())[3:]})
            if processes.is_main():
                write_text(checkpoint.parent / "history.json", json.dumps(history, indent=1))
        if is_last or now - saved > settings.checkpoint_seconds:
            elapsed, started = elapsed + now - started, now
            state = {"step": step, "elapsed": elapsed, "history": history}
            if processes.is_main():
                _save(checkpoint, state, module, optimizer, settings)
            saved = time.monotonic()
    steps.close()
    return history


def device() -> torch.device:
    """The GPU if there is one, else the CPU; of several processes each has its own."""
    if processes.several():
        return processes.own_device()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast() -> torch.autocast:
    """Matrix products in bfloat16 where the hardware has them, all else in float32."""
    kind = device().type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" or _cpu_has_bfloat16())


@functools.cache
def _cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16; elsewhere a step takes ten times as long with it."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def epoch_order(count: int, *, epoch: int, seed: int) -> list[int]:
    """The order of `count` examples in one epoch, a function of its arguments alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator).tolist()


def _optimizer(module: nn.Module, settings: LoopSettings) -> torch.optim.AdamW:
    def named(is_matrix: bool) -> Iterable[nn.Parameter]:
        return [p for p in module.parameters() if p.requires_grad and (p.ndim > 1) is is_matrix]

    return torch.optim.AdamW(
        [
            {"params": named(True), "weight_decay": settings.weight_decay},
            {"params": named(False), "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=1e-6,
        fused=True,
    )


def _evaluated(
    module: nn.Module, evaluate: Callable[[], dict[str, float]] | None
) -> dict[str, float]:
    if evaluate is None:
        return {}
    module.eval()
    try:
        with torch.no_grad(), autocast():
            return evaluate()
    finally:
        module.train()


def _identity(settings: LoopSettings) -> dict[str, object]:
    """What a checkpoint must share with the run that resumes it (the length may change)."""
    free = {"total_steps", "evaluate_every", "checkpoint_seconds"}
    return {k: v for k, v in asdict(settings).items() if k not in free}


def _resume(
    checkpoint: Path, module: nn.Module, optimizer: torch.optim.Optimizer, settings: LoopSettings
) -> dict:
    if not checkpoint.exists():
        return {"step": 0, "elapsed": 0.0, "history": []}
    state = torch.load(checkpoint, map_location=device(), weights_only=True)
    if state["settings"] != _identity(settings):
        raise StepError(
            f"{checkpoint} was made with other settings ({state['settings']}); "
            "delete it to start over, or restore the recipe"
        )
    shorter = min(state["total_steps"], settings.total_steps)
    decay_begins = (1 - settings.decay_share) * shorter
    if state["total_steps"] != settings.total_steps and state["step"] > decay_begins:
        raise StepError(
            f"{checkpoint} is at step {state['step']} of {state['total_steps']}; the length can "
            f"become {settings.total_steps} only before the decay at step {decay_begins:.0f}"
        )
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("resumed %s at step %d", checkpoint, state["step"])
    return state


def _save(
    checkpoint: Path,
    state: dict,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
) -> None:
    state = state | {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "settings": _identity(settings),
        "total_steps": settings.total_steps,
    }
    unfinished = checkpoint.with_suffix(".tmp")
    try:
        torch.save(state, unfinished)
        replace(unfinished, checkpoint)
    except (OSError, RuntimeError) as error:
        unfinished.unlink(missing_ok=True)
        raise StepError(
            f"cannot write {checkpoint} ({error}); the previous checkpoint is untouched. "
            "Free some disk space and run again"
        ) from error
