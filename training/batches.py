"""Which examples make up which training step: shuffled, grouped by length, without hidden state."""

from collections.abc import Sequence

from training.loop import epoch_order

GROUP = 50
"""Batches that are sorted together: length varies little within a batch, much between batches."""


class BatchPlan:
    """Batches of examples of similar length, in an order that depends on the seed alone."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        """Plan over `len(lengths)` examples; `lengths[i]` is the cost of example i in tokens."""
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._epoch = -1
        self._batches: list[list[int]] = []

    def at(self, step: int) -> list[int]:
        """Indices of the examples of step `step`, counted from 0 through all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._plan(epoch)
        return self._batches[position]

    def _plan(self, epoch: int) -> list[list[int]]:
        order = epoch_order(len(self._lengths), epoch=epoch, seed=self._seed)
        batches: list[list[int]] = []
        for start in range(0, len(order), GROUP * self._batch_size):
            group = sorted(
                order[start : start + GROUP * self._batch_size], key=self._lengths.__getitem__
            )
            batches += [
                group[i : i + self._batch_size] for i in range(0, len(group), self._batch_size)
            ]
        shuffled = epoch_order(len(batches), epoch=epoch, seed=self._seed + 1)
        return [batches[i] for i in shuffled]
