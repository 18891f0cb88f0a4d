"""Scores of task-oriented parses, each with a bootstrap over utterances.

Intent accuracy is `metrics.accuracy`, slot F1 `metrics.strict_f1`; here is what needs the whole
parse to be right.
"""

from collections.abc import Sequence

import numpy as np

from app.contract.manifest import Score
from training.metrics import Span, mean_score
from training.parse_trees import Tree


def frame_exact_match(
    predicted: Sequence[tuple[str, set[Span]]], gold: Sequence[tuple[str, set[Span]]]
) -> Score:
    """Share of utterances with the right intent and the right set of slots, nothing nested.

    Args:
        predicted: intent and slots of each utterance.
        gold: likewise.

    Raises:
        ValueError: the two differ in length.
    """
    return _share([p == g for p, g in zip(predicted, gold, strict=True)])


def tree_exact_match(predicted: Sequence[str], gold: Sequence[str]) -> Score:
    """Share of utterances whose tree says the same as gold (Tree.canonical).

    Args:
        predicted: decoupled trees; one that cannot be read is wrong.
        gold: decoupled trees.

    Raises:
        ValueError: the two differ in length, or a gold tree cannot be read.
    """
    right = []
    for answer, truth in zip(predicted, gold, strict=True):
        wanted = Tree.parse(truth).canonical
        try:
            right.append(Tree.parse(answer).canonical == wanted)
        except ValueError:
            right.append(False)
    return _share(right)


def _share(right: list[bool]) -> Score:
    return mean_score(np.array(right, np.float64), np.arange(len(right)))
