"""Questions as training units: windows of the context, each with its start and its end.

A window that does not show the whole answer says so at its first token (Devlin et al. 2019, section
4.3). Only positions that the service reads compete: that token and the context.
"""

from collections.abc import Sequence

import numpy as np

from app.contract.encoded_text import Arrays, EncodedText, Window
from app.contract.encoding import Encoder
from app.contract.heads import AnswerHead
from training.datasets.examples import Example, Question
from training.datasets.splits import stable_fraction
from training.units import NO_TARGET, Batch, UnitSet, input_of, tensor

ENCODED_TOGETHER = 512
"""Questions: spans of all subwords of a large corpus would not fit into memory."""


class AnswerUnits(UnitSet):
    """The windows of questions about contexts; each is an example of its own."""

    def __init__(
        self,
        questions: Sequence[Example],
        tokenizer: Encoder,
        head: AnswerHead,
        *,
        share: float = 1.0,
    ) -> None:
        """Encode questions as the service does.

        Args:
            questions: with or without answers.
            tokenizer: of the model.
            head: of the model.
            share: of the windows known not to show the answer that are kept, chosen by a hash: a
                long context has many more of them than of the others.
        """
        self.head = head
        self.tokenizer = tokenizer
        self._windows: list[Window] = []
        self._places: list[tuple[int, int]] = []
        asked = [example for example in questions if isinstance(example, Question)]
        for at in range(0, len(asked), ENCODED_TOGETHER):
            chunk = asked[at : at + ENCODED_TOGETHER]
            encoded = tokenizer.encode([input_of(q, head) for q in chunk], long=head.long)
            for question, text in zip(chunk, encoded, strict=True):
                for window, place in zip(text.windows, places(question, text), strict=True):
                    is_empty = place == (0, 0)
                    if not is_empty or _is_kept(question, window, share):
                        self._windows.append(window)
                        self._places.append(place)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [window.num_tokens for window in self._windows]

    def reads_like(self, other: UnitSet) -> bool:
        """Whether two sets of the same questions are the same rows of tokens."""
        assert isinstance(other, AnswerUnits)
        return len(self._windows) == len(other._windows) and all(
            np.array_equal(ours.input_ids, theirs.input_ids)
            for ours, theirs in zip(self._windows, other._windows, strict=True)
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        """Pad some windows into one batch; their units are the windows."""
        arrays = self.arrays(indices)
        readable = np.zeros(arrays["input_ids"].shape, bool)
        readable[:, 0] = True
        for row, index in enumerate(indices):
            window = self._windows[index]
            readable[row, window.prefix : window.prefix + window.size] = True
        starts, ends = np.asarray([self._places[index] for index in indices], np.int64).T
        return Batch(
            inputs={name: tensor(array) for name, array in arrays.items()},
            targets={"start_logits": tensor(starts), "end_logits": tensor(ends)},
            readable=tensor(readable),
        )

    def arrays(self, indices: Sequence[int]) -> Arrays:
        """Some windows, padded, as the graph takes them."""
        return self.tokenizer.collate([self._windows[index] for index in indices])


def places(question: Question, encoded: EncodedText) -> list[tuple[int, int]]:
    """Positions of the first and the last token of the answer in each window of a question.

    (0, 0) where a window does not show all of it, NO_TARGET twice where nobody has answered. Of
    several answers it is the first one that a window shows.
    """
    if question.answers is None:
        return [(NO_TARGET, NO_TARGET)] * len(encoded.windows)
    shown = [(i, span) for i, span in enumerate(encoded.spans) if span and span[0] < span[1]]
    spans = []
    for answer in question.answers:
        start, end = answer.start, answer.start + len(answer.text)
        inside = [i for i, span in shown if span[0] < end and span[1] > start]
        if inside:
            spans.append((inside[0], inside[-1]))
    found = []
    for window in encoded.windows:
        seen = [s for s in spans if window.offset <= s[0] and s[1] < window.offset + window.size]
        shift = window.prefix - window.offset
        found.append((seen[0][0] + shift, seen[0][1] + shift) if seen else (0, 0))
    return found


def _is_kept(question: Question, window: Window, share: float) -> bool:
    return stable_fraction(f"{question.text}\n{window.offset}") < share
