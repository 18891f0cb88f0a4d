"""The most probable sequence of BIO tags among those that make sense.

Models decide word by word, so the only transitions are "may" and "may not": an I-X follows a B-X or
an I-X (Viterbi 1967, with transitions of 0 and minus infinity).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OUTSIDE = "O"
LEAD = 7.0
"""Logits that O is ahead of all other tags by where a stretch may end: odds of 1,000 to 1."""

Indices = NDArray[np.intp]


class _Tags(NamedTuple):
    """What follows what.

    Attributes:
        kinds: type of each tag, -1 of O, shape (tags,).
        is_inside: whether a tag has to follow another of its type, shape (tags,).
        inside: those tags; a type that nothing opens has none.
        opening: the B- tag of each.
    """

    kinds: Indices
    is_inside: NDArray[np.bool_]
    inside: Indices
    opening: Indices


def best_tags(logits: NDArray[np.floating], labels: Sequence[str]) -> Indices:
    """The most probable sequence of tags in which no I-X stands without a B-X or I-X before it.

    Exact, though only the surroundings of a contradiction are searched: a stretch ends at words
    that lose more by not being O than the whole stretch has lost.

    Args:
        logits: of each word, shape (words, tags).
        labels: of each logit: "O", "B-X", "I-X".

    Returns:
        Tag of each word, shape (words,).
    """
    tags = _follow(tuple(labels))
    best: Indices = logits.argmax(axis=-1)
    wrong = np.flatnonzero(_unopened(best, tags))
    if not len(wrong):
        return best
    scores = logits.astype(np.float64)
    outside = labels.index(OUTSIDE)
    leads = scores[:, outside] - np.delete(scores, outside, axis=-1).max(axis=-1)
    solved = 0
    for at in wrong.tolist():
        if at < solved:
            continue
        lead = LEAD
        while True:
            start, stop = _stretch(leads, at, lead)
            best[start:stop] = _search(scores[start:stop], tags)
            own = scores[start:stop]
            lost = (own.max(axis=-1) - _chosen(own, best[start:stop])).sum()
            # Leaving O at an end may help the stretches on both of its sides.
            if lost <= lead / 2 or (start, stop) == (0, len(best)):
                break
            lead = 2 * lost
        solved = stop
    return best


def _stretch(leads: NDArray[np.float64], at: int, lead: float) -> tuple[int, int]:
    """The words around one, from and to those that are O by a lead, without these."""
    ends = np.flatnonzero(leads >= lead)
    k = int(np.searchsorted(ends, at))
    return int(ends[k - 1]) + 1 if k else 0, int(ends[k]) if k < len(ends) else len(leads)


@lru_cache(maxsize=256)
def _follow(labels: tuple[str, ...]) -> _Tags:
    at = {label: index for index, label in enumerate(labels)}
    names = list(dict.fromkeys(label[2:] for label in labels if label != OUTSIDE))
    kinds = [-1 if label == OUTSIDE else names.index(label[2:]) for label in labels]
    inside = [i for label, i in at.items() if label.startswith("I-") and f"B-{label[2:]}" in at]
    opening = [at[f"B-{labels[index][2:]}"] for index in inside]
    is_inside = np.zeros(len(labels), bool)
    is_inside[inside] = True
    return _Tags(np.array(kinds), is_inside, np.array(inside, int), np.array(opening, int))


def _unopened(chosen: Indices, tags: _Tags) -> NDArray[np.bool_]:
    kinds = tags.kinds[chosen]
    before = np.concatenate([[-1], kinds[:-1]])
    wrong: NDArray[np.bool_] = tags.is_inside[chosen] & (kinds != before)
    return wrong


def _search(scores: NDArray[np.float64], tags: _Tags) -> Indices:
    inside, opening = tags.inside, tags.opening
    came_from = np.zeros(scores.shape, np.intp)
    reached = scores[0].copy()
    reached[inside] = -np.inf
    for word in range(1, len(scores)):
        top = int(reached.argmax())
        same = np.where(reached[inside] > reached[opening], inside, opening)
        came_from[word] = top
        came_from[word, inside] = same
        before = np.full(len(reached), reached[top])
        before[inside] = reached[same]
        reached = before + scores[word]
    path = [int(reached.argmax())]
    for word in range(len(scores) - 1, 0, -1):
        path.append(int(came_from[word, path[-1]]))
    return np.array(path[::-1])


def _chosen(scores: NDArray[np.float64], tags: Indices) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.take_along_axis(scores, tags[:, None], axis=-1)[:, 0]
    return found
