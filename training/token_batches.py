"""Tagged sentences as training rows: encoded by the contract, one target a subword.

Later subwords of a word are trained with its I- variant (RONEC's own evaluator and the published
models do so), so a word means the same whether it is cut by the corpus or by the tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.contract.encoded_text import Window
from app.contract.tokenization import SubwordTokenizer, collate
from training.datasets.examples import TaggedSentence
from training.loop import device

NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One window of a sentence with targets, shape (length,), NO_TARGET where there is none."""

    window: Window
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tensors of shape (batch, length)."""

    input_ids: Tensor
    attention_mask: Tensor
    targets: Tensor


def label_list(sentences: Sequence[TaggedSentence]) -> list[str]:
    """O and the B- and I- tags of every type that occurs, types in alphabetical order."""
    types = {tag[2:] for s in sentences for tag in s.tags or () if tag != "O"}
    return ["O", *(f"{prefix}-{name}" for name in sorted(types) for prefix in "BI")]


def token_rows(
    sentences: Sequence[TaggedSentence], tokenizer: SubwordTokenizer, labels: Sequence[str]
) -> list[TokenRow]:
    """Encode sentences; one whose tags are None gets no targets."""
    index = {label: i for i, label in enumerate(labels)}
    rows: list[TokenRow] = []
    encoded = tokenizer.encode([sentence.words for sentence in sentences])
    for sentence, text in zip(sentences, encoded, strict=True):
        count = max(window.offset + window.size for window in text.windows)
        targets = np.full(count, NO_TARGET, np.int64)
        if sentence.tags is not None:
            for word, tag in zip(text.words, sentence.tags, strict=True):
                if word.first_token is not None:
                    inside = f"I-{tag[2:]}" if tag != "O" else tag
                    targets[word.first_token :] = index[inside]
                    targets[word.first_token] = index[tag]
        for window in text.windows:
            padded = np.full(len(window.input_ids), NO_TARGET, np.int64)
            here = slice(window.offset, window.offset + window.size)
            padded[window.prefix : window.prefix + window.size] = targets[here]
            rows.append(TokenRow(window, padded))
    return rows


def token_batch(rows: Sequence[TokenRow], *, pad_id: int) -> TokenBatch:
    """Pad rows into tensors on the training device."""
    arrays = collate([row.window for row in rows], pad_id=pad_id)
    targets = np.full(arrays["input_ids"].shape, NO_TARGET, np.int64)
    for i, row in enumerate(rows):
        targets[i, : len(row.targets)] = row.targets
    return TokenBatch(
        *(
            torch.from_numpy(array).to(device())
            for array in (arrays["input_ids"], arrays["attention_mask"], targets)
        )
    )
