"""How loyal one model is to another on one input (Xu et al. 2021), whatever the truth is.

Labels are compared by name, word by word of the caller's text where both models divide it alike;
so the models may differ in tokenizer, window and order of labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import find_answers
from app.contract.decisions import Decisions, decisions, label_sets
from app.contract.decoding import similarity
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.errors import ContractError
from app.contract.heads import (
    AnswerHead,
    Head,
    NumberHead,
    ParseHead,
    ScoreHead,
    TagHead,
    VectorHead,
)
from app.contract.manifest import Score
from app.contract.probabilities import softmax

Probabilities = NDArray[np.floating]
PlainHead = NumberHead | AnswerHead
"""Heads without labels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one model made of an input."""

    head: Head
    encoded: EncodedText
    outputs: Sequence[WindowOutputs]


@dataclass(frozen=True, slots=True)
class Loyalty:
    """Agreement on one input; every measure is 1 where the models agree, None where it has none.

    Attributes:
        compared: decisions that were compared: words, intent, class, answer or score.
        skipped: the student's decisions on words that the teacher does not have: other pre-tokens,
            cut off, or unreadable.
        label: share of equal labels among those compared; for answers, whether the spans are equal.
        probability: mean of 1 - Jensen-Shannon distance, base e, in [0.167, 1]; labels only.
        probability_base2: the same in base 2, in [0, 1].
        regression: 1 - absolute difference of scores in [0, 1]; scores only.
    """

    compared: int
    skipped: int = 0
    label: float | None = None
    probability: float | None = None
    probability_base2: float | None = None
    regression: float | None = None


def check_comparable(student: Head, teacher: Head) -> None:
    """Refuse a pair of models whose answers do not mean the same.

    Raises:
        ContractError: the heads differ in kind, or their labels in more than order.
    """
    if isinstance(student, NumberHead) and isinstance(teacher, NumberHead):
        return
    if student.kind != teacher.kind:
        raise ContractError(
            f"answers of kind {student.kind!r} cannot be compared with kind {teacher.kind!r}"
        )
    if isinstance(student, PlainHead) or isinstance(teacher, PlainHead):
        return
    own, other = label_sets(student), label_sets(teacher)
    for name in own.keys() | other.keys():
        odd = sorted(set(own.get(name, ())) ^ set(other.get(name, ())))
        if odd:
            raise ContractError(
                f"{name}: only one of student and teacher has {', '.join(odd[:5])}; "
                "models with the same labels, in any order, are needed"
            )


def held_out(head: Head, scores: Mapping[str, Score]) -> Loyalty:
    """What a manifest says of a student's loyalty, in the measures of `compare`.

    Args:
        head: of the student.
        scores: its `Manifest.loyalty`.

    Returns:
        Labels pooled over all outputs that are compared live; nothing for what was not measured.
    """
    match head:
        case TagHead():
            names: tuple[str, ...] = ("label_loyalty", "xpos_label_loyalty")
        case ParseHead():
            names = ("intent_label_loyalty", "slot_label_loyalty")
        case _:
            names = ("label_loyalty",)
    found = [scores[name] for name in names if name in scores]
    compared = sum(score.n for score in found)
    regression = scores.get("regression_loyalty")
    return Loyalty(
        compared,
        label=sum(s.value * s.n for s in found) / compared if compared else None,
        regression=regression.value if regression else None,
    )


def compare(student: Reading, teacher: Reading) -> Loyalty:
    """Agreement of a student with its teacher on the same input.

    Raises:
        ContractError: see `check_comparable`.
    """
    check_comparable(student.head, teacher.head)
    match student.head, teacher.head:
        case (ScoreHead() | VectorHead()) as own, (ScoreHead() | VectorHead()) as other:
            gap = similarity(own, student.outputs) - similarity(other, teacher.outputs)
            return Loyalty(1, regression=1 - abs(gap))
        case AnswerHead() as own, AnswerHead() as other:
            return Loyalty(1, label=float(_span(own, student) == _span(other, teacher)))
    pairs = paired_decisions(student, teacher)
    matched = [aligned(own, other) for own, other in pairs]
    compared = sum(len(own) for own, _ in matched)
    skipped = sum(len(own.places) for own, _ in pairs) - compared
    if not compared:
        return Loyalty(0, skipped)
    probabilities = [(softmax(own), softmax(other)) for own, other in matched]
    same = np.concatenate([same_labels(own, other) for own, other in matched])
    distance = np.concatenate([distances(p, q) for p, q in probabilities])
    return Loyalty(
        compared,
        skipped,
        label=float(same.mean()),
        probability=float(1 - distance.mean()),
        probability_base2=float(1 - distance.mean() / math.sqrt(math.log(2))),
    )


def paired_decisions(student: Reading, teacher: Reading) -> list[tuple[Decisions, Decisions]]:
    """The decisions of both models, output by output; nothing for heads without labels."""
    if isinstance(student.head, PlainHead):
        return []
    if isinstance(teacher.head, PlainHead):
        return []
    own = decisions(student.head, student.encoded, student.outputs)
    other = decisions(teacher.head, teacher.encoded, teacher.outputs)
    return list(zip(own, other, strict=True))


def aligned(
    student: Decisions, teacher: Decisions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of both at the places they share, labels in the student's order.

    Returns:
        Two arrays of shape (shared places, labels).
    """
    at = {place: row for row, place in enumerate(teacher.places)}
    rows = [(i, at[place]) for i, place in enumerate(student.places) if place in at]
    own, other = (
        np.array(side, np.intp) for side in (zip(*rows, strict=True) if rows else ((), ()))
    )
    columns = [teacher.labels.index(label) for label in student.labels]
    return student.logits[own], teacher.logits[other][:, columns]


def same_labels(student: NDArray[np.floating], teacher: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether the likeliest label is the same, per row; logits or probabilities."""
    same: NDArray[np.bool_] = student.argmax(axis=-1) == teacher.argmax(axis=-1)
    return same


def distances(p: Probabilities, q: Probabilities) -> NDArray[np.float64]:
    """Jensen-Shannon distance, the square root of the divergence in nats, per row.

    In [0, sqrt(ln 2)]; divided by sqrt(ln 2) it is that of base 2, in [0, 1].
    """
    distance: NDArray[np.float64] = np.sqrt(jensen_shannon(p, q))
    return distance


def jensen_shannon(p: Probabilities, q: Probabilities) -> NDArray[np.float64]:
    """Divergence in nats over the last axis: (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2."""
    first, second = p.astype(np.float64), q.astype(np.float64)
    middle = (first + second) / 2

    def divergence(a: NDArray[np.float64]) -> NDArray[np.float64]:
        safe = np.where(a > 0, a / np.where(middle > 0, middle, 1), 1.0)
        summed: NDArray[np.float64] = (a * np.log(safe)).sum(axis=-1)
        return summed

    return np.maximum((divergence(first) + divergence(second)) / 2, 0.0)


def _span(head: AnswerHead, reading: Reading) -> tuple[int, int]:
    best = find_answers(reading.encoded, reading.outputs, max_tokens=head.max_answer_tokens)[0]
    return best.start, best.end
