"""Answers to questions against gold, and against those of a teacher."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import FoundAnswer, find_answers, position_probabilities
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.heads import AnswerHead
from app.contract.manifest import Score
from training.answer_metrics import bag_f1, exact_match, mlqa_es_words, squad_words, token_f1
from training.datasets.examples import Question
from training.loyalty import label_loyalty, probability_loyalty
from training.metrics import mean_score

Read = tuple[EncodedText, Sequence[WindowOutputs]]
"""A question as a model read it, and the outputs of its windows."""


def best_answers(
    head: AnswerHead, read: Sequence[Read], questions: Sequence[Question]
) -> list[FoundAnswer]:
    """The answer to each question.

    "No answer" counts only if a question of these has none, as in the two versions of SQuAD.
    """
    may_abstain = head.can_abstain and any(q.is_impossible for q in questions)
    longest = head.max_answer_tokens
    return [find_answers(*each, max_tokens=longest, may_abstain=may_abstain)[0] for each in read]


def window_distributions(
    read: Sequence[Read], output: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Where each window's start or end is, "not here" first, zeros behind the last subword.

    Returns:
        Probabilities of shape (windows, positions), and the question of each window.
    """
    rows = [
        position_probabilities(window, outputs[output])
        for encoded, found in read
        for window, outputs in zip(encoded.windows, found, strict=True)
    ]
    padded = np.zeros((len(rows), max(map(len, rows))), np.float32)
    for row, probabilities in zip(padded, rows, strict=True):
        row[: len(probabilities)] = probabilities
    return padded, np.repeat(np.arange(len(read)), [len(e.windows) for e, _ in read])


def answer_quality(
    answers: Sequence[FoundAnswer], questions: Sequence[Question], groups: NDArray[np.integer]
) -> dict[str, Score]:
    """Exact match and F1, in MLQA's Spanish normalization and in SQuAD's own.

    Args:
        answers: one a question.
        questions: gold.
        groups: context of each question, see `exact_match`.
    """
    texts = _texts(answers, questions)
    right = [[answer.text for answer in q.answers or ()] for q in questions]
    return {
        f"{name}{suffix}": measure(texts, right, groups, words=words)
        for suffix, words in (("_mlqa_es", mlqa_es_words), ("", squad_words))
        for name, measure in (("f1", token_f1), ("exact_match", exact_match))
    }


def answer_loyalty(
    teacher: Sequence[FoundAnswer],
    student: Sequence[FoundAnswer],
    questions: Sequence[Question],
    groups: NDArray[np.integer],
) -> dict[str, Score]:
    """Share of the same spans, and F1 of the words of both answers (MLQA's normalization)."""
    same = [(a.start, a.end) == (b.start, b.end) for a, b in zip(teacher, student, strict=True)]
    words = [
        [mlqa_es_words(text) for text in _texts(answers, questions)]
        for answers in (teacher, student)
    ]
    common = [bag_f1(a, b) for a, b in zip(*words, strict=True)]
    return {
        "label_loyalty": mean_score(np.array(same, np.float64), groups),
        "answer_f1_loyalty": mean_score(np.array(common, np.float64), groups),
    }


def place_loyalty(
    teacher: NDArray[np.float32], student: NDArray[np.float32], groups: NDArray[np.integer]
) -> dict[str, Score]:
    """Agreement on starts, or on ends, window by window.

    Args:
        teacher: shape (windows, positions), see `window_distributions`.
        student: same shape: windows of the same tokens.
        groups: question of each window.
    """
    return {
        "label_loyalty": label_loyalty(teacher, student, groups),
        "probability_loyalty": probability_loyalty(teacher, student, groups),
    }


def _texts(answers: Sequence[FoundAnswer], questions: Sequence[Question]) -> list[str]:
    return [q.context[a.start : a.end] for q, a in zip(questions, answers, strict=True)]
