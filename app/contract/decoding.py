"""Outputs of the graph to answers, by head."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import FoundAnswer, find_answers
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.heads import (
    AnswerHead,
    ClassHead,
    Decoding,
    Head,
    NumberHead,
    ParseHead,
    ScoreHead,
    SpanHead,
    TagHead,
    VectorHead,
)
from app.contract.parse_labels import PIECE, ParseLabel, intent_tree, slot_tree
from app.contract.probabilities import sigmoid, softmax
from app.contract.viterbi import OUTSIDE, best_tags

NEVER = -1e4
"""Logit of the tags that a word without logits does not have."""
UNREAD = "X"
"""Universal part of speech of what is no word."""

Activation = Literal["softmax", "sigmoid", "none"]


class Tag(NamedTuple):
    """The label of one word.

    Attributes:
        label: one of the head's.
        score: its probability, in [0, 1].
    """

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """A word and its parts of speech; `start` and `end` as in Entity.

    Attributes:
        label: universal part of speech.
        xpos: language-specific part of speech, None if the model has none.
        score: probability of `label`, in [0, 1].
    """

    label: str
    xpos: str | None
    score: float
    start: int
    end: int


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


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A label of a whole text; `score` is its probability, or what was asked for instead."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Parse:
    """The meaning of an utterance.

    Attributes:
        intent: the likeliest.
        slots: the outermost, in order, never overlapping; one in several pieces is several.
        tree: all of it in MTOP's decoupled form, `[IN:INTENT [SL:SLOT words ] ]`, with the slots
            inside of slots.
    """

    intent: ClassScore
    slots: tuple[Entity, ...]
    tree: str


Answer = list[TaggedWord] | list[Entity] | list[ClassScore] | float | Parse | list[FoundAnswer]


def decode(head: Head, encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> Answer:
    """The answer to one input under default parameters."""
    match head:
        case TagHead():
            return tagged_words(head, encoded, outputs)
        case SpanHead():
            tags = decode_tags(encoded, outputs, head.labels, decoding=head.decoding)
            return entities(encoded, tags)
        case ClassHead():
            return class_scores(head, outputs)
        case ScoreHead() | VectorHead():
            return similarity(head, outputs)
        case ParseHead():
            return parse(head, encoded, outputs)
        case AnswerHead():
            return find_answers(encoded, outputs, max_tokens=head.max_answer_tokens)


def word_logits(
    encoded: EncodedText, outputs: Sequence[WindowOutputs], name: str = "logits"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The logits that decide each word: its first subword's, in the window with most context.

    Args:
        encoded: the text.
        outputs: of its windows.
        name: of an output of shape (length, labels).

    Returns:
        Indices of the words that have logits (cut or unreadable words have none), shape (k,), and
        their logits, shape (k, labels).
    """
    indices, windows, positions = encoded.read_words
    if len(outputs) == 1 or not len(indices):
        rows = outputs[0][name][positions]
    else:
        places = zip(windows.tolist(), positions.tolist(), strict=True)
        rows = np.stack([outputs[window][name][position] for window, position in places])
    return indices, rows.astype(np.float32, copy=False)


def decode_tags(
    encoded: EncodedText,
    outputs: Sequence[WindowOutputs],
    labels: Sequence[str],
    *,
    decoding: Decoding,
    name: str = "logits",
    unread: Tag | None = None,
) -> list[Tag]:
    """One tag a word.

    Args:
        encoded: the text.
        outputs: of its windows.
        labels: tag of each logit.
        decoding: viterbi of BIO tags only.
        name: of the output.
        unread: tag of words without logits; outside with score 1 by default.
    """
    tags = [unread or Tag(OUTSIDE, 1.0)] * len(encoded.words)
    indices, logits = word_logits(encoded, outputs, name)
    if decoding == "viterbi":
        known = np.full((len(tags), len(labels)), NEVER, np.float32)
        known[:, labels.index(OUTSIDE)] = 0.0
        known[indices] = logits
        best = best_tags(known, labels)[indices]
    else:
        best = logits.argmax(axis=-1)
    scores = np.take_along_axis(softmax(logits), best[:, None], axis=-1)[:, 0]
    found = zip(indices.tolist(), best.tolist(), scores.tolist(), strict=True)
    for index, label, score in found:
        tags[index] = Tag(labels[label], score)
    return tags


def tagged_words(
    head: TagHead, encoded: EncodedText, outputs: Sequence[WindowOutputs]
) -> list[TaggedWord]:
    """One item a word; a word that was not read (cut off, or unreadable) is X with score 0."""
    unread = Tag(UNREAD, 0.0)
    upos = decode_tags(encoded, outputs, head.labels, decoding="greedy", unread=unread)
    xpos: list[str | None] = [None] * len(upos)
    if head.xpos:
        tags = decode_tags(
            encoded, outputs, head.xpos, decoding="greedy", name="xpos_logits", unread=unread
        )
        xpos = [tag.label for tag in tags]
    return [
        TaggedWord(tag.label, fine, tag.score, word.start, word.end)
        for tag, fine, word in zip(upos, xpos, encoded.words, strict=True)
    ]


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


def class_scores(
    head: ClassHead,
    outputs: Sequence[WindowOutputs],
    *,
    activation: Activation = "softmax",
    by_rating: bool = False,
) -> list[ClassScore]:
    """All labels, or all ratings of a head that has them, best first."""
    labels = head.rating if by_rating else head.labels
    scores = outputs[0]["rating_logits" if by_rating else "logits"]
    if activation != "none":
        scores = softmax(scores) if activation == "softmax" else sigmoid(scores)
    # A stable sort of the negated scores keeps the head's order among equals.
    order = np.argsort(-scores, kind="stable")
    return [ClassScore(labels[i], float(scores[i])) for i in order]


def similarity(head: NumberHead, outputs: Sequence[WindowOutputs]) -> float:
    """How alike the texts of a pair mean, in [0, 1]; opposite vectors are no more unlike than 0."""
    if isinstance(head, ScoreHead):
        value, low, high = float(outputs[0]["logits"][0]), head.low, head.high
    else:
        first, second = (output["vector"] for output in outputs)
        value, low, high = float(first @ second), 0.0, 1.0
    return (min(max(value, low), high) - low) / (high - low)


def parse(head: ParseHead, encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> Parse:
    """Intent, slots, and the tree that they make with the slots inside of them."""
    probabilities = softmax(outputs[0]["intent_logits"])
    best = int(probabilities.argmax())
    label = head.intents[best]
    levels = [
        decode_tags(encoded, outputs, labels, name=name, decoding=head.decoding)
        for name, labels in head.levels.items()
    ]
    outermost = entities(encoded, levels[0])
    slots = tuple([replace(slot, label=ParseLabel.of(slot.label).name) for slot in outermost])
    tree = intent_tree(label, _slot_trees(encoded, outermost, levels[1:]))
    return Parse(ClassScore(ParseLabel.of(label).name, float(probabilities[best])), slots, tree)


def _slot_trees(
    encoded: EncodedText, slots: Sequence[Entity], levels: Sequence[Sequence[Tag]]
) -> list[str]:
    """Trees of the slots of one intent; `levels` are the tags of what is inside of them."""
    places: list[tuple[str, list[Entity]]] = []
    for slot in slots:
        label = slot.label.lstrip(PIECE)
        back = len(slot.label) - len(label)
        earlier = [pieces for other, pieces in places if other == label]
        if 0 < back <= len(earlier):
            earlier[-back].append(slot)
        else:
            places.append((label, [slot]))
    trees = []
    for label, pieces in places:
        if not ParseLabel.of(label).is_nested:
            trees.append(slot_tree(label, [encoded.text[p.start : p.end] for p in pieces]))
            continue
        inner: list[Entity] = []
        if levels:
            inner = entities(encoded, _within(encoded, pieces, levels[0]))
        trees.append(slot_tree(label, _slot_trees(encoded, inner, levels[1:])))
    return trees


def _within(encoded: EncodedText, pieces: Sequence[Entity], tags: Sequence[Tag]) -> list[Tag]:
    """The tags of words in some pieces; all others are outside."""
    return [
        tag
        if any(piece.start <= word.start and word.end <= piece.end for piece in pieces)
        else Tag(OUTSIDE, 1.0)
        for word, tag in zip(encoded.words, tags, strict=True)
    ]
