"""Examples as training units: what is decided about, where it is read, what is right.

A unit is a word as the tokenizer's pre-tokenization cuts it, or a whole text. Units are what models
with different vocabularies have in common (methods of Avram et al. 2022 need words of two
tokenizers side by side), and what the service decodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.contract.encoded_text import Arrays, EncodedText, Input, Pair, Window, Word
from app.contract.encoding import Encoder
from app.contract.heads import (
    ClassHead,
    Head,
    Output,
    ParseHead,
    ScoreHead,
    SpanHead,
    TagHead,
    VectorHead,
)
from training.datasets.examples import (
    Example,
    LabelledText,
    PartlyTagged,
    Question,
    ScoredPair,
    TaggedSentence,
    Utterance,
)
from training.loop import device
from training.nested_tags import nested_tags_of

NO_TARGET = -100
"""Class of a unit that nobody has labelled; a score that is not known is NaN."""

NOTHING = torch.empty(0, dtype=torch.long)

UNREADABLE = -1e4
"""Logit of a position that no answer begins or ends at: its softmax is exactly 0."""

SCORES = ScoreHead()
"""The range of gold scores, and so of what teachers put out."""

Targets = dict[str, NDArray[np.generic]]
"""Output -> target of each unit of one example: classes (int64) or values (float32)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples as tensors on the training device.

    Attributes:
        inputs: `input_ids`, `attention_mask`, `token_type_ids`, shape (windows, longest).
        text_rows: window that speaks for each example, shape (examples,); of a pair that is read
            apart the first of two.
        rows, columns: window and position of each word, all examples in order, shape (words,).
        targets: output -> shape (words,) or (examples,), (words, labels) for `possible_tags`; of
            answers, position in each window, shape (windows,).
        words, tokens: how many each example has.
        readable: of answers only: which positions may begin or end one, shape (windows, longest).
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    text_rows: Tensor = NOTHING
    rows: Tensor = NOTHING
    columns: Tensor = NOTHING
    words: Sequence[int] = ()
    tokens: Sequence[int] = ()
    readable: Tensor | None = None

    def decisions(self, outputs: dict[str, Tensor], head: Head) -> dict[str, Tensor]:
        """The head's outputs at the units, float32, shape (words or examples, width).

        Of two vectors it is their score: cosine 0 is the lowest, cosine 1 the highest. Of answers
        all positions of each window, shape (windows, longest), UNREADABLE where none can be.
        """
        if self.readable is not None:
            hidden = ~self.readable
            return {
                output.name: outputs[output.name].float().masked_fill(hidden, UNREADABLE)
                for output in head.outputs
            }
        if isinstance(head, VectorHead):
            first, second = (outputs["vector"][self.text_rows + i].float() for i in (0, 1))
            cosine = (first * second).sum(dim=-1, keepdim=True)
            return {"logits": SCORES.low + (SCORES.high - SCORES.low) * cosine}
        return {
            output.name: (
                outputs[output.name][self.rows, self.columns]
                if output.per_token
                else outputs[output.name][self.text_rows]
            ).float()
            for output in head.outputs
        }


class UnitSet:
    """Encoded examples; batches of them are made on demand."""

    def __init__(self, examples: Sequence[Example], tokenizer: Encoder, head: Head) -> None:
        """Encode examples as the head's task does by default."""
        self.head = head
        self.tokenizer = tokenizer
        self.encoded = tokenizer.encode([input_of(e, head) for e in examples], long=head.long)
        self._targets = [
            targets_of(example, encoded, head)
            for example, encoded in zip(examples, self.encoded, strict=True)
        ]
        if isinstance(head, SpanHead) and any(isinstance(e, PartlyTagged) for e in examples):
            self._targets = [
                {"logits": possible_tags(targets["logits"], example, head)}
                for targets, example in zip(self._targets, examples, strict=True)
            ]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, all windows together."""
        return [sum(window.num_tokens for window in e.windows) for e in self.encoded]

    def reads_like(self, other: "UnitSet") -> bool:
        """Whether two sets of the same examples are the same rows of tokens."""
        return all(
            len(ours.windows) == len(theirs.windows)
            and all(map(_same_tokens, ours.windows, theirs.windows))
            for ours, theirs in zip(self.encoded, other.encoded, strict=True)
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        """Pad the windows of some examples into one batch."""
        counts = [len(self.encoded[i].windows) for i in indices]
        firsts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        arrays = self.arrays(indices)
        words = [self.encoded[i].read_words for i in indices]
        rows = [windows + first for (_, windows, _), first in zip(words, firsts, strict=True)]
        targets = {
            output.name: np.concatenate([self._targets[i][output.name] for i in indices])
            for output in decided(self.head)
        }
        return Batch(
            inputs={name: tensor(array) for name, array in arrays.items()},
            targets={name: tensor(values) for name, values in targets.items()},
            text_rows=tensor(firsts),
            rows=tensor(np.concatenate(rows)),
            columns=tensor(np.concatenate([positions for _, _, positions in words])),
            words=[len(positions) for _, _, positions in words],
            tokens=[sum(w.num_tokens for w in self.encoded[i].windows) for i in indices],
        )

    def arrays(self, indices: Sequence[int]) -> Arrays:
        """The windows of some examples, padded, as the graph takes them."""
        return self.tokenizer.collate([w for i in indices for w in self.encoded[i].windows])

    def starts(self, index: int) -> NDArray[np.int64]:
        """Code point at which each word of an example starts, shape (words,)."""
        return np.asarray([word.start for word in _read_words(self.encoded[index])], np.int64)


def decided(head: Head) -> tuple[Output, ...]:
    """What there is to learn: a head's outputs, or the score that two vectors make."""
    return SCORES.outputs if isinstance(head, VectorHead) else head.outputs


def align(student: UnitSet, teacher: UnitSet) -> list[NDArray[np.int64]]:
    """For each example and each word of the student the teacher's word that starts there, or -1."""
    aligned = []
    for index in range(len(student.encoded)):
        ours, theirs = student.starts(index), teacher.starts(index)
        found = np.searchsorted(theirs, ours)
        inside = np.minimum(found, max(len(theirs) - 1, 0))
        hit = theirs[inside] == ours if len(theirs) else np.zeros(len(ours), bool)
        aligned.append(np.where(hit, inside, -1))
    return aligned


def input_of(example: Example, head: Head) -> Input:
    """What the models read: a text, a pair, or words joined by spaces where words are labelled."""
    match example:
        case TaggedSentence() if isinstance(head, SpanHead | TagHead):
            return " ".join(example.words)
        case ScoredPair():
            return Pair(example.first, example.second)
        case Question():
            return Pair(example.question, example.context)
        case _:
            return example.text


def targets_of(example: Example, encoded: EncodedText, head: Head) -> Targets:
    """What is right for each unit; NO_TARGET or NaN where the example does not say.

    A word of the corpus may be several units: the later ones continue it (RONEC's own evaluator
    and the published models train later subwords with the I- variant).
    """
    words = len(_read_words(encoded))
    targets: Targets = {
        output.name: (
            np.full(1, np.nan, np.float32)
            if output.width == 1
            else np.full(words if output.per_token else 1, NO_TARGET, np.int64)
        )
        for output in decided(head)
    }
    match head, example:
        case ((SpanHead() | TagHead()), TaggedSentence()):
            starts = np.cumsum([0, *(len(word) + 1 for word in example.words)])[:-1]
            for name, labels, tags in _tag_layers(head, example):
                targets[name] = _word_targets(starts, tags, encoded, labels)
        case ParseHead(), Utterance() if example.sentence.tags is not None:
            starts = np.asarray([start for start, _ in example.sentence.word_spans], np.int64)
            intent, levels = nested_tags_of(example)
            outside = ("O",) * len(starts)
            for level, (name, labels) in enumerate(head.levels.items()):
                tags = levels[level] if level < len(levels) else outside
                targets[name] = _word_targets(starts, tags, encoded, labels)
            if intent in head.intents:
                targets["intent_logits"] = np.asarray([head.intents.index(intent)], np.int64)
        case ClassHead(), LabelledText():
            if example.label in head.labels:
                targets["logits"] = np.asarray([head.labels.index(example.label)], np.int64)
            if example.rating in head.rating:
                targets["rating_logits"] = np.asarray([head.rating.index(example.rating)], np.int64)
        case ((ScoreHead() | VectorHead()), ScoredPair()):
            targets["logits"] = np.asarray([example.score], np.float32)
    return targets


def possible_tags(
    classes: NDArray[np.generic], example: Example, head: SpanHead
) -> NDArray[np.bool_]:
    """The tags that each unit may have, as far as its annotators say.

    Args:
        classes: of each unit, NO_TARGET where unknown.
        example: that they are of.
        head: names the tags.

    Returns:
        Shape (units, labels): one where it is known, all where nobody has looked; an `O` of a
        `PartlyTagged` may be a tag of any type that was not looked for.
    """
    possible = classes[:, None] == np.arange(len(head.labels))
    possible[classes == NO_TARGET] = True
    if isinstance(example, PartlyTagged):
        others = [tag != "O" and tag[2:] not in example.types for tag in head.labels]
        possible[classes == head.labels.index("O")] |= others
    return possible


def _tag_layers(
    head: SpanHead | TagHead, sentence: TaggedSentence
) -> list[tuple[str, Sequence[str], Sequence[str]]]:
    """Output, its labels and the sentence's tags, for the layers that the sentence has."""
    layers = [("logits", head.labels, sentence.tags)]
    if isinstance(head, TagHead) and head.xpos:
        layers.append(("xpos_logits", head.xpos, sentence.xpos))
    return [(name, labels, tags) for name, labels, tags in layers if tags is not None]


def _word_targets(
    starts: NDArray[np.int64], tags: Sequence[str], encoded: EncodedText, labels: Sequence[str]
) -> NDArray[np.int64]:
    """Class of each unit: its word's tag, and the I- variant of that after the word's start."""
    index = {label: i for i, label in enumerate(labels)}
    targets = []
    for unit in _read_words(encoded):
        word = int(np.searchsorted(starts, unit.start, side="right")) - 1
        tag = tags[word]
        if unit.start > starts[word] and tag.startswith("B-"):
            tag = f"I-{tag[2:]}"
        targets.append(index.get(tag, NO_TARGET))
    return np.asarray(targets, np.int64)


def _read_words(encoded: EncodedText) -> list[Word]:
    """The words that a window shows."""
    return [encoded.words[index] for index in encoded.read_words[0]]


def _same_tokens(ours: Window, theirs: Window) -> bool:
    return np.array_equal(ours.input_ids, theirs.input_ids)


def tensor(array: NDArray[np.generic]) -> Tensor:
    """An array on the training device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device())
