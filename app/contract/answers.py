"""Extractive question answering: spans of the context, over all its windows.

In each window, start and end are normalized over the context and the first token, which stands for
"not in this window" (Devlin et al. 2019, section 4.3). So a window without the answer gives its
spans little probability, and spans of different windows can be compared.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import EncodedText, Window, WindowOutputs
from app.contract.probabilities import softmax

CANDIDATES = 20
"""Starts a window that are paired with ends, and spans a window that are kept."""

MAX_GROWTH = 64
"""Code points by which an answer may grow at each end: no word is so long, but a text may be."""

JOINERS = ("\u200c", "\u200d")
UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""Beginnings of the names of characters between which words are not told apart by spaces."""


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """A candidate; `start` and `end` are code points of the context, both 0 for "no answer".

    Attributes:
        score: probability of its start times that of its end, in [0, 1].
    """

    score: float
    start: int
    end: int


def find_answers(
    encoded: EncodedText,
    outputs: Sequence[WindowOutputs],
    *,
    max_tokens: int,
    top_k: int = 1,
    may_abstain: bool = False,
    whole_words: bool = True,
) -> list[FoundAnswer]:
    """The best spans, best first; fewer if the context has no more.

    Args:
        encoded: question and context.
        outputs: `start_logits` and `end_logits` of each window, shape (length,).
        max_tokens: longest answer, subwords of the context.
        top_k: how many.
        may_abstain: let "no answer" be a candidate; its score is that of the window that is least
            sure of it.
        whole_words: grow spans that begin or end inside a word.
    """
    best: dict[tuple[int, int], float] = {}
    nothing = 1.0
    for window, output in zip(encoded.windows, outputs, strict=True):
        starts = position_probabilities(window, output["start_logits"])
        ends = position_probabilities(window, output["end_logits"])
        nothing = min(nothing, float(starts[0]) * float(ends[0]))
        for first, last, score in _spans(starts[1:], ends[1:], max_tokens, max(top_k, CANDIDATES)):
            place = _place(encoded, window.offset + first, window.offset + last)
            if place is not None:
                best[place] = max(score, best.get(place, 0.0))
    found: dict[tuple[int, int], FoundAnswer] = {}
    # Equal scores in order of the text, so that the answer does not depend on the windows.
    for place in sorted(best, key=lambda place: (-best[place], place)):
        whole = _grown(encoded.text, *place) if whole_words else place
        found.setdefault(whole, FoundAnswer(best[place], *whole))
        if len(found) == top_k:
            break
    if may_abstain or not found:
        # A stable sort: where nothing is as likely as something, something is said.
        found[0, 0] = FoundAnswer(nothing, 0, 0)
    return sorted(found.values(), key=lambda answer: -answer.score)[:top_k]


def position_probabilities(window: Window, logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Of a start or an end: "not in this window" first, then each subword of the context.

    Args:
        window: of a question and its context.
        logits: shape (length,).

    Returns:
        Shape (1 + size,).
    """
    context = logits[window.prefix : window.prefix + window.size]
    return softmax(np.concatenate([logits[:1], context]))


def _spans(
    starts: NDArray[np.float32], ends: NDArray[np.float32], max_tokens: int, count: int
) -> list[tuple[int, int, float]]:
    """The likeliest spans of a window: (first, last, score)."""
    firsts = np.argsort(-starts, kind="stable")[:count]
    lasts = firsts[:, None] + np.arange(min(max_tokens, len(ends)))
    reached = np.where(lasts < len(ends), ends[np.minimum(lasts, len(ends) - 1)], 0)
    scores = starts[firsts][:, None] * reached
    likeliest = np.argsort(-scores, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(likeliest, scores.shape)
    chosen = zip(firsts[rows], lasts[rows, columns], scores[rows, columns], strict=True)
    return [(int(f), int(last), float(s)) for f, last, s in chosen if last < len(ends)]


def _place(encoded: EncodedText, first: int, last: int) -> tuple[int, int] | None:
    """Code points of a span of subwords; None if it shows nothing."""
    shown = [span for span in encoded.spans[first : last + 1] if span and span[0] < span[1]]
    return (shown[0][0], shown[-1][1]) if shown else None


def _grown(text: str, start: int, end: int) -> tuple[int, int]:
    """A span grown to whole words."""
    first, last = max(start - MAX_GROWTH, 0), min(end + MAX_GROWTH, len(text))
    while start > first and _is_inside_word(text[start - 1], text[start]):
        start -= 1
    while end < last and _is_inside_word(text[end - 1], text[end]):
        end += 1
    return start, end


def _is_inside_word(before: str, after: str) -> bool:
    """Whether no word begins or ends between two characters."""
    if before in JOINERS or after in JOINERS or _is_mark(after):
        return True
    is_between_letters = (before.isalnum() or _is_mark(before)) and after.isalnum()
    return is_between_letters and not (_is_unspaced(before) or _is_unspaced(after))


def _is_mark(char: str) -> bool:
    """Whether it is put on the character before: an accent, or a vowel sign."""
    return unicodedata.category(char).startswith("M")


def _is_unspaced(char: str) -> bool:
    """Whether its script puts no space between words."""
    return unicodedata.name(char, "").startswith(UNSPACED)
