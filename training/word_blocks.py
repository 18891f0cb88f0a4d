"""Blocks of whole words under one vocabulary or two, for learning from masked words.

Words are the first tokenizer's pre-tokens. A block holds the same words under each vocabulary, so a
word can be hidden from all models at once, and what they make of it compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from training.masked_lm import MaskedBatch, TokenHider, chunks

CHUNK = 1024
"""Texts that are tokenized together."""


@dataclass(frozen=True, slots=True)
class WordBlocks:
    """Blocks under one vocabulary.

    Attributes:
        ids: CLS, the words' tokens, SEP, padding; int32, shape (blocks, block_length).
        words: place of each token's word in its block, the same under every vocabulary; -1 at
            special tokens, padding and words that a vocabulary cannot read; int16, same shape.
    """

    ids: NDArray[np.int32]
    words: NDArray[np.int16]

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.ids)

    def rows(self, chosen: Sequence[int] | slice) -> "WordBlocks":
        """Some of the blocks."""
        return WordBlocks(self.ids[chosen], self.words[chosen])


class WordMasker:
    """Chooses words at random and hides them under every vocabulary alike."""

    def __init__(self, tokenizers: Sequence[PreTrainedTokenizerFast], *, share: float) -> None:
        """Read the vocabularies once.

        Args:
            tokenizers: in the order of the readings.
            share: probability of a word to be chosen, in (0, 1).
        """
        self._share = share
        self._hiders = [TokenHider(tokenizer) for tokenizer in tokenizers]

    def mask(
        self, readings: Sequence[WordBlocks], random: np.random.Generator
    ) -> list[MaskedBatch]:
        """Mask the same blocks under each vocabulary.

        A word that becomes the mask token, another token or itself does so in all of them.
        """
        draws, fates = random.random((2, *readings[0].ids.shape))
        masked = []
        for blocks, hider in zip(readings, self._hiders, strict=True):
            word = np.maximum(blocks.words, 0).astype(np.int64)
            chosen = (np.take_along_axis(draws, word, axis=1) < self._share) & (blocks.words >= 0)
            fate = np.take_along_axis(fates, word, axis=1)
            masked.append(hider.hide(blocks.ids, chosen, fate, random))
        return masked


def pack_words(
    texts: Iterable[str], tokenizers: Sequence[PreTrainedTokenizerFast], *, block_length: int
) -> list[WordBlocks]:
    """Cut texts, separated by the separator token, into blocks of whole words.

    A block is as many words as fit under every vocabulary. Words longer than a block are left out,
    and so is the last block, which is not full.

    Returns:
        The blocks under each vocabulary.
    """
    for tokenizer in tokenizers:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()  # sentence models have it in their file
    rest = _Words.none(len(tokenizers))
    packed: list[list[WordBlocks]] = [[] for _ in tokenizers]
    for chunk in chunks(tqdm(texts, desc="tokenize", unit="text", mininterval=10), CHUNK):
        words = _Words.joined([rest, *_read(chunk, tokenizers, room=block_length - 2)])
        bounds = words.bounds(block_length - 2)
        for k, tokenizer in enumerate(tokenizers):
            packed[k].append(words.blocks(k, bounds, tokenizer, block_length))
        rest = words.after(bounds[-1])
    empty = np.empty((0, block_length))
    none = WordBlocks(empty.astype(np.int32), empty.astype(np.int16))
    return [
        WordBlocks(
            np.concatenate([none.ids, *(blocks.ids for blocks in parts)]),
            np.concatenate([none.words, *(blocks.words for blocks in parts)]),
        )
        for parts in packed
    ]


@dataclass(frozen=True, slots=True)
class _Words:
    """Consecutive words.

    Attributes:
        ids: per vocabulary the words' tokens.
        counts: per vocabulary how many tokens each word has, shape (vocabularies, words).
        readable: whether each word is one under every vocabulary.
    """

    ids: list[NDArray[np.int32]]
    counts: NDArray[np.int64]
    readable: NDArray[np.bool_]

    @classmethod
    def none(cls, vocabularies: int) -> "_Words":
        ids = [np.empty(0, np.int32) for _ in range(vocabularies)]
        return cls(ids, np.empty((vocabularies, 0), np.int64), np.empty(0, bool))

    @classmethod
    def joined(cls, parts: Sequence["_Words"]) -> "_Words":
        return cls(
            [np.concatenate(ids) for ids in zip(*(part.ids for part in parts), strict=True)],
            np.concatenate([part.counts for part in parts], axis=1),
            np.concatenate([part.readable for part in parts]),
        )

    def bounds(self, room: int) -> list[int]:
        """Words at which full blocks begin and end."""
        ends = np.cumsum(self.counts, axis=1)
        bounds = [0]
        while True:
            before = ends[:, bounds[-1] - 1] if bounds[-1] else np.zeros(len(ends), np.int64)
            stop = min(
                int(np.searchsorted(end, start + room, side="right"))
                for end, start in zip(ends, before, strict=True)
            )
            if stop == len(self.readable):  # the next chunk may fill it
                return bounds
            bounds.append(stop)

    def blocks(
        self, k: int, bounds: Sequence[int], tokenizer: PreTrainedTokenizerFast, block_length: int
    ) -> WordBlocks:
        """The blocks between bounds under the k-th vocabulary."""
        counts = self.counts[k, : bounds[-1]]
        lengths = np.add.reduceat(counts, bounds[:-1]) if len(bounds) > 1 else np.empty(0, int)
        row = np.repeat(np.arange(len(lengths)), lengths)
        column = 1 + np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        word = np.repeat(np.arange(len(counts)), counts)
        ids = np.full((len(lengths), block_length), tokenizer.pad_token_id, np.int32)
        words = np.full(ids.shape, -1, np.int16)
        ids[:, 0] = tokenizer.cls_token_id
        ids[np.arange(len(lengths)), lengths + 1] = tokenizer.sep_token_id
        ids[row, column] = self.ids[k][: len(row)]
        words[row, column] = np.where(self.readable[word], word - np.asarray(bounds)[row], -1)
        return WordBlocks(ids, words)

    def after(self, word: int) -> "_Words":
        """What begins with a word."""
        used = self.counts[:, :word].sum(axis=1)
        ids = [ids[count:] for ids, count in zip(self.ids, used, strict=True)]
        return _Words(ids, self.counts[:, word:], self.readable[word:])


def _read(
    texts: Sequence[str], tokenizers: Sequence[PreTrainedTokenizerFast], *, room: int
) -> Iterable[_Words]:
    """The words of each text, then a separator."""
    specials = [tokenizer.all_special_ids for tokenizer in tokenizers]
    separators = [np.asarray([tokenizer.sep_token_id], np.int32) for tokenizer in tokenizers]
    separator = _Words(separators, np.ones((len(tokenizers), 1), np.int64), np.zeros(1, bool))
    encoded = (
        tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        for tokenizer in tokenizers
    )
    for readings in zip(*encoded, strict=True):
        starts = _word_starts(readings[0])
        if not len(starts):
            continue
        ids, counts = [], np.empty((len(readings), len(starts)), np.int64)
        readable: NDArray[np.bool_] = np.ones(len(starts), bool)
        owners = []
        for k, reading in enumerate(readings):
            # A token belongs to the word that it starts in, wherever its own tokenizer cuts.
            begins = np.asarray(reading.offsets, np.int64).reshape(-1, 2)[:, 0]
            owner = np.maximum(np.searchsorted(starts, begins, side="right") - 1, 0)
            ids.append(np.asarray(reading.ids, np.int32))
            counts[k] = np.bincount(owner, minlength=len(starts))
            readable[owner[np.isin(ids[k], specials[k])]] = False
            owners.append(owner)
        fits = counts.max(axis=0) <= room
        readable &= counts.min(axis=0) > 0
        kept = [own[fits[owner]] for own, owner in zip(ids, owners, strict=True)]
        yield _Words(kept, counts[:, fits], readable[fits])
        yield separator


def _word_starts(encoding: Encoding) -> NDArray[np.int64]:
    """Code points at which pre-tokens start."""
    offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
    changes = np.diff(np.asarray(encoding.word_ids, np.int64), prepend=-1) != 0
    return offsets[changes, 0]
