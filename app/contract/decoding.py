"""Logits to answers. BIO tags of words to entities."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.tokenization import EncodedText

OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Tag:
    """The BIO tag of one word.

    Attributes:
        label: "O", "B-X" or "I-X".
        score: its probability, in [0, 1].
    """

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Entity:
    """A labelled span; `start` and `end` are code points of the original text, end exclusive.

    Attributes:
        label: the type, without B- or I-.
        score: mean probability of its words' tags, in [0, 1].
    """

    label: str
    score: float
    start: int
    end: int


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities over the last axis, same shape."""
    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def word_logits(
    encoded: EncodedText, outputs: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The logits that decide each word: its first subword's, in the window with most context.

    Args:
        encoded: the text.
        outputs: per window the logits of its row without padding, shape (length, labels).

    Returns:
        Indices of the words that have logits (cut or unreadable words have none), shape (k,), and
        their logits, shape (k, labels).
    """
    best = encoded.best_window
    indices: list[int] = []
    rows: list[NDArray[np.floating]] = []
    for index, word in enumerate(encoded.words):
        if word.first_token is None or word.first_token >= len(best):
            continue
        at = best[word.first_token]
        window = encoded.windows[at]
        indices.append(index)
        rows.append(outputs[at][window.prefix + word.first_token - window.offset])
    stacked = np.stack(rows) if rows else np.empty((0, outputs[0].shape[-1]))
    return np.asarray(indices, np.intp), stacked.astype(np.float32)


def decode_tags(
    encoded: EncodedText, outputs: Sequence[NDArray[np.floating]], labels: Sequence[str]
) -> list[Tag]:
    """One tag a word; words without logits are outside with score 1.

    Args:
        encoded: the text.
        outputs: see `word_logits`.
        labels: tag of each logit.
    """
    tags = [Tag(OUTSIDE, 1.0)] * len(encoded.words)
    indices, logits = word_logits(encoded, outputs)
    probabilities = softmax(logits)
    for index, row in zip(indices, probabilities, strict=True):
        best = int(row.argmax())
        tags[index] = Tag(labels[best], float(row[best]))
    return tags


def entities(
    encoded: EncodedText, tags: Sequence[Tag], *, ignore: Collection[str] = ()
) -> list[Entity]:
    """Join tags into entities, in order and never overlapping.

    An I-X that continues nothing opens an entity, as in conlleval.

    Args:
        encoded: the text.
        tags: one a word.
        ignore: types to leave out.
    """
    groups: list[list[int]] = []
    previous = OUTSIDE
    for index, tag in enumerate(tags):
        continues = tag.label.startswith("I-") and previous[2:] == tag.label[2:]
        if continues:
            groups[-1].append(index)
        elif tag.label != OUTSIDE:
            groups.append([index])
        previous = tag.label
    found = []
    for group in groups:
        label = tags[group[0]].label[2:]
        if label not in ignore:
            score = sum(tags[i].score for i in group) / len(group)
            start, end = encoded.words[group[0]].start, encoded.words[group[-1]].end
            found.append(Entity(label, score, start, end))
    return found
