"""Exact match and F1 of answers to questions, in two normalizations; pure numpy.

`squad_words` is SQuAD's own (Rajpurkar et al. 2016): published numbers, Spanish ones too, are
mostly made with it, though it leaves `¿` and `el` standing. `mlqa_es_words` is MLQA's for Spanish
(Lewis et al. 2020).
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import Score
from training.metrics import mean_score

Words = Callable[[str], list[str]]
_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SPANISH_ARTICLES = re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b")
_ASCII_MARKS = frozenset(string.punctuation)


def squad_words(text: str) -> list[str]:
    """Lower-cased words without ASCII punctuation and English articles.

    >>> squad_words("The U.S. Army")
    ['us', 'army']
    """
    bare = "".join(char for char in text.lower() if char not in _ASCII_MARKS)
    return _ENGLISH_ARTICLES.sub(" ", bare).split()


def mlqa_es_words(text: str) -> list[str]:
    """Lower-cased words without Unicode punctuation, ASCII marks and Spanish articles.

    >>> mlqa_es_words("¿La Habana?")
    ['habana']
    """
    bare = "".join(
        char
        for char in text.lower()
        if char not in _ASCII_MARKS and not unicodedata.category(char).startswith("P")
    )
    return _SPANISH_ARTICLES.sub(" ", bare).split()


def exact_match(
    predicted: Sequence[str],
    gold: Sequence[Sequence[str]],
    groups: NDArray[np.integer],
    *,
    words: Words,
) -> Score:
    """Share of questions whose answer equals a gold answer after normalization.

    Args:
        predicted: one answer a question, empty for "no answer".
        gold: right answers of each question; none, or only empty ones, where there is no answer.
        groups: context of each question, counted from 0 without gaps, shape (questions,): questions
            on the same context stand and fall together, so the bootstrap draws contexts.
        words: normalization.

    Raises:
        ValueError: the two differ in length.
    """
    return _best_over_gold(predicted, gold, groups, words, lambda p, g: float(p == g))


def token_f1(
    predicted: Sequence[str],
    gold: Sequence[Sequence[str]],
    groups: NDArray[np.integer],
    *,
    words: Words,
) -> Score:
    """Mean F1 of the bags of words, best over the gold answers; arguments as in `exact_match`.

    Where one side is empty, it is 1 if the other one is too, else 0 (SQuAD 2.0).
    """
    return _best_over_gold(predicted, gold, groups, words, bag_f1)


def bag_f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of two bags of words."""
    if not predicted or not gold:
        return float(not predicted and not gold)
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold))


def _best_over_gold(
    predicted: Sequence[str],
    gold: Sequence[Sequence[str]],
    groups: NDArray[np.integer],
    words: Words,
    compare: Callable[[list[str], list[str]], float],
) -> Score:
    # As in SQuAD's scripts, a gold answer of nothing but articles counts if there is no other.
    values = [
        max(
            compare(words(answer), right)
            for right in ([w for w in map(words, answers) if w] or [[]])
        )
        for answer, answers in zip(predicted, gold, strict=True)
    ]
    return mean_score(np.array(values, np.float64), groups)
