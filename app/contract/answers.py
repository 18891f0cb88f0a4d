"""Extractive question answering: spans of the context, over all its windows.

In each window, start and end are normalized over the context and the first token, which stands for
"not in this window" (Devlin et al. 2019, section 4.3). So a window without the answer gives its
spans little probability, and spans of different windows can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.probabilities import softmax

CANDIDATES = 20
"""Starts a window that are paired with ends, and spans a window that are kept."""


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
) -> list[FoundAnswer]:
    """The best spans, best first; fewer if the context has no more.

    Args:
        encoded: question and context.
        outputs: `start_logits` and `end_logits` of each window, shape (length,).
        max_tokens: longest answer, subwords of the context.
        top_k: how many.
        may_abstain: let "no answer" be a candidate; its score is that of the window that is least
            sure of it.
    """
    best: dict[tuple[int, int], float] = {}
    nothing = 1.0
    for window, output in zip(encoded.windows, outputs, strict=True):
        context = slice(window.prefix, window.prefix + window.size)
        starts, null_start = _normalized(output["start_logits"], context)
        ends, null_end = _normalized(output["end_logits"], context)
        nothing = min(nothing, null_start * null_end)
        for first, last, score in _spans(starts, ends, max_tokens, max(top_k, CANDIDATES)):
            place = _place(encoded, window.offset + first, window.offset + last)
            if place is not None:
                best[place] = max(score, best.get(place, 0.0))
    found = [FoundAnswer(score, *place) for place, score in best.items()]
    if may_abstain or not found:
        found.append(FoundAnswer(nothing, 0, 0))
    # Equal scores in order of the text, so that the answer does not depend on the windows.
    return sorted(found, key=lambda a: (-a.score, a.start, a.end))[:top_k]


def _normalized(logits: NDArray[np.floating], context: slice) -> tuple[NDArray[np.float32], float]:
    """Probabilities of the context's tokens, and of the first token of the window."""
    probabilities = softmax(np.concatenate([logits[:1], logits[context]]))
    return probabilities[1:], float(probabilities[0])


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
    """Code points of a span of subwords, grown to whole words; None if it shows nothing."""
    shown = [span for span in encoded.spans[first : last + 1] if span and span[0] < span[1]]
    if not shown:
        return None
    start, end = shown[0][0], shown[-1][1]
    text = encoded.text
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return start, end
