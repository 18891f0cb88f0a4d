"""The labels that a model chose between for one input, and how strongly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.decoding import word_logits
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.heads import ClassHead, ParseHead, SpanHead, TagHead

LabelHead = TagHead | SpanHead | ClassHead | ParseHead
"""Heads that choose labels; the others put out a number or a place."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one output of the graph says about one input.

    Attributes:
        output: its name.
        labels: of each logit.
        places: (start, end) of what each decision is about, in code points of the encoded text.
        logits: shape (decisions, labels), float32.
    """

    output: str
    labels: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    logits: NDArray[np.float32]


def label_sets(head: LabelHead) -> dict[str, tuple[str, ...]]:
    """Labels of each output that answers by default; ratings have to be asked for."""
    match head:
        case TagHead():
            xpos = {"xpos_logits": head.xpos} if head.xpos else {}
            return {"logits": head.labels} | xpos
        case ParseHead():
            return {"intent_logits": head.intents} | head.levels
        case _:
            return {"logits": head.labels}


def decisions(
    head: LabelHead, encoded: EncodedText, outputs: Sequence[WindowOutputs]
) -> list[Decisions]:
    """The decisions of each output, in the order of `label_sets`.

    Words that have no logits (cut off, or unreadable) are left out: nothing was decided there.
    """
    per_token = {output.name: output.per_token for output in head.outputs}
    found = []
    for name, labels in label_sets(head).items():
        if per_token[name]:
            indices, logits = word_logits(encoded, outputs, name)
            words = [encoded.words[index] for index in indices]
            places = tuple((word.start, word.end) for word in words)
        else:
            logits = outputs[0][name][None].astype(np.float32)
            places = ((0, len(encoded.text)),)
        found.append(Decisions(name, labels, places, logits))
    return found
