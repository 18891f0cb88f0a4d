"""Text whose words are hidden, as one vocabulary or several read it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.batches import BatchPlan
from training.encoder_recipe import MaskedLmRecipe
from training.errors import StepError
from training.loop import device
from training.masked_lm import NOT_MASKED, MaskedBatch
from training.shared_words import SharedWords
from training.word_blocks import WordBlocks, WordMasker


class Reading:
    """A masked batch of blocks under one vocabulary; positions count through all its tokens."""

    def __init__(self, blocks: WordBlocks, masked: MaskedBatch, *, pad_id: int) -> None:
        """Find the words in it."""
        self._masked_blocks = blocks, masked, pad_id
        self.input_ids = _tensor(masked.input_ids)
        self.attention_mask = _tensor((blocks.ids != pad_id).astype(np.int64))
        self.labels = _tensor(masked.labels).flatten()
        self._original = blocks.ids.ravel()
        rows, length = blocks.words.shape
        words = np.where(blocks.words < 0, -1, blocks.words + length * np.arange(rows)[:, None])
        self._at = np.flatnonzero(words.ravel() >= 0)
        _, first, self._owner, self._counts = np.unique(
            words.ravel()[self._at], return_index=True, return_inverse=True, return_counts=True
        )
        self._first = self._at[first]

    def cut(self, parts: int) -> list[tuple["Reading", float]]:
        """Every n-th block to the same part, with its share of the batch."""
        blocks, masked, pad_id = self._masked_blocks
        return [
            (Reading(blocks.rows(slice(i, None, parts)), part, pad_id=pad_id), share)
            for i, (part, share) in enumerate(masked.cut(parts))
        ]

    def hidden(self, model: PreTrainedModel) -> Tensor:
        """Last hidden states, float32, shape (positions, width)."""
        states = model.base_model(self.input_ids, attention_mask=self.attention_mask)[0]
        return states.flatten(0, 1).float()

    def predicted(self, *, restrict_to_masked: bool) -> Tensor:
        """Positions at which tokens are predicted: the masked or all real ones."""
        if restrict_to_masked:
            return torch.nonzero(self.labels != NOT_MASKED).squeeze(1)
        return torch.nonzero(self.attention_mask.flatten()).squeeze(1)

    def word_means(self, hidden: Tensor) -> Tensor:
        """Mean of each word's tokens, shape (words, width); the words are those of all readings."""
        owner, at = _tensor(self._owner), _tensor(self._at)
        sums = hidden.new_zeros(len(self._counts), hidden.shape[1]).index_add(0, owner, hidden[at])
        return sums / _tensor(self._counts).unsqueeze(1)

    def shared_positions(self, other: "Reading", shared: SharedWords) -> tuple[Tensor, Tensor]:
        """Where words stand that are one token here and, with the same meaning, there."""
        ours = shared.student_words[self._original[self._first]]
        theirs = shared.teacher_words[other._original[other._first]]
        alike = (self._counts == 1) & (other._counts == 1) & (ours >= 0) & (ours == theirs)
        return _tensor(self._first[alike]), _tensor(other._first[alike])


@dataclass(frozen=True)
class MaskedText:
    """Blocks of text whose words are hidden afresh in every batch.

    Attributes:
        tokenizers: the vocabularies that each block is read under.
        train: blocks under each of them.
        dev: the same of the development text.
        recipe: sizes of blocks and batches.
        mask_share: of the words that are hidden.
        seed: of order and masks.
    """

    tokenizers: Sequence[PreTrainedTokenizerFast]
    train: Sequence[WordBlocks]
    dev: Sequence[WordBlocks]
    recipe: MaskedLmRecipe
    mask_share: float
    seed: int

    def check(self, steps: int) -> None:
        """Refuse what no training of so many steps can come of.

        Raises:
            StepError: the text does not fill one batch or has no development part.
        """
        size = self.recipe.batch_size
        if len(self.train[0]) < size or not len(self.dev[0]) or not steps:
            raise StepError(
                f"too little text: {len(self.train[0])} training and {len(self.dev[0])} "
                f"development blocks for batches of {size} and {steps} steps"
            )

    @cached_property
    def _masker(self) -> WordMasker:
        return WordMasker(self.tokenizers, share=self.mask_share)

    @cached_property
    def _plan(self) -> BatchPlan:
        lengths = [self.recipe.block_length] * len(self.train[0])
        return BatchPlan(lengths, batch_size=self.recipe.batch_size, seed=self.seed)

    def at(self, step: int) -> list[Reading]:
        """The batch of a step, as each vocabulary reads it."""
        random = np.random.default_rng((self.seed, step))
        return self._readings(self.train, self._plan.at(step), random)

    def dev_batches(self) -> Iterator[list[Reading]]:
        """The development text; its masks are the same every time."""
        random = np.random.default_rng(self.seed)
        for start in range(0, len(self.dev[0]), self.recipe.batch_size):
            yield self._readings(self.dev, slice(start, start + self.recipe.batch_size), random)

    def _readings(
        self,
        blocks: Sequence[WordBlocks],
        chosen: Sequence[int] | slice,
        random: np.random.Generator,
    ) -> list[Reading]:
        rows = [each.rows(chosen) for each in blocks]
        masked = self._masker.mask(rows, random)
        return [
            Reading(each, hidden, pad_id=tokenizer.pad_token_id)
            for each, hidden, tokenizer in zip(rows, masked, self.tokenizers, strict=True)
        ]


def cut_readings(readings: Sequence[Reading], parts: int) -> list[tuple[list[Reading], float]]:
    """All readings of a batch alike."""
    columns = [reading.cut(parts) for reading in readings]
    return [([part for part, _ in row], row[0][1]) for row in zip(*columns, strict=True)]


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device())
