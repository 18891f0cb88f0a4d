"""What a teacher said about examples, kept: it says the same in every epoch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.contract.heads import Head
from training.loop import device
from training.units import Batch, decided

Lesson = tuple[dict[str, Tensor], Tensor | None]
"""Decisions at the student's units by output, shape (units, width), rows of NaN where the teacher
reads none; and its last hidden states at the student's real tokens, shape (tokens, width), if the
two share a vocabulary."""
LIMIT = 3 * 2**30


class Lessons:
    """Lessons by example, in bfloat16, which is what a teacher computes in."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Keep up to `limit` bytes; what comes later has to be asked for again."""
        self._left = limit
        self._kept: dict[int, Lesson] = {}

    def recall(self, chosen: Sequence[int]) -> Lesson | None:
        """The lesson of a batch, if all its examples' were kept."""
        if not all(index in self._kept for index in chosen):
            return None
        found = [self._kept[index] for index in chosen]
        decisions = {
            name: _joined([decisions[name] for decisions, _ in found]) for name in found[0][0]
        }
        hidden = [states for _, states in found if states is not None]
        return decisions, _joined(hidden) if hidden else None

    def keep(self, chosen: Sequence[int], batch: Batch, head: Head, lesson: Lesson) -> None:
        """Keep the lesson of a batch, example by example."""
        decisions, hidden = lesson
        texts = [1] * len(chosen)
        parts = {
            output.name: _split(decisions[output.name], batch.words if output.per_token else texts)
            for output in decided(head)
        }
        states = [None] * len(chosen) if hidden is None else _split(hidden, batch.tokens)
        for k, index in enumerate(chosen):
            own = {name: rows[k] for name, rows in parts.items()}
            tensors = [t for t in (*own.values(), states[k]) if t is not None]
            size = sum(t.numel() * t.element_size() for t in tensors)
            if index not in self._kept and size <= self._left:
                self._kept[index] = own, states[k]
                self._left -= size


def _split(values: Tensor, counts: Sequence[int]) -> Sequence[Tensor]:
    return values.to("cpu", torch.bfloat16).split(list(counts))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).to(device()).float()
