"""What an encoder makes of an input, and what decoding needs to read the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Text = str | Sequence[str]
"""A text, or the words of one; offsets of words refer to the words joined by one space."""

LongInput = Literal["windows", "cut", "refuse"]
"""What becomes of an input longer than a window: it is read in overlapping windows, it is cut to
the first window, or it is refused."""

Arrays = dict[str, NDArray[np.generic]]
"""Named inputs of a graph; the first two axes are (rows, longest)."""

WindowOutputs = Mapping[str, NDArray[np.floating]]
"""Named outputs of a graph for one window, without padding."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that are read together: two sentences, or a question and its context.

    Attributes:
        names: what the caller calls them, for errors.
    """

    first: str
    second: str
    names: tuple[str, str] = field(default=("text", "text_pair"), compare=False)


Input = Text | Pair


class Word(NamedTuple):
    """A unit that gets one label.

    Attributes:
        start, end: code points of the original text, end exclusive.
        first_token: index of its first subword in the text's subwords; None if it has none
            (characters that the tokenizer drops).
    """

    start: int
    end: int
    first_token: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One row of a batch.

    Compared as an object: a text that occurs in several pairs, and is read apart, has one window.

    Attributes:
        input_ids: int64, shape (length,), special tokens included; where words are projected, their
            features, uint8, shape (length, bytes).
        type_ids: segment of each token, shape (length,).
        offset: index in the text's subwords of the window's first subword.
        prefix: number of tokens before that first subword.
        size: number of the text's subwords in the window.
    """

    input_ids: NDArray[np.int64] | NDArray[np.uint8]
    type_ids: NDArray[np.int64]
    offset: int
    prefix: int
    size: int

    @property
    def num_tokens(self) -> int:
        """Length, special tokens included."""
        return len(self.input_ids)


@dataclass(frozen=True)
class EncodedText:
    """An input ready for the graph.

    Attributes:
        text: the original; for a list of words, the words joined by one space; for a pair, the
            second text.
        words: of `text`, in order, never overlapping; none of a pair that is read apart.
        spans: per subword of `text` its (start, end) in code points; None if it stands for none;
            nothing for a pair that is read apart.
        windows: at least one; together they cover all subwords unless `truncated`. One for each
            text of a pair that is read apart.
        truncated: whether subwords were cut off.
    """

    text: str
    words: tuple[Word, ...]
    spans: tuple[tuple[int, int] | None, ...]
    windows: tuple[Window, ...]
    truncated: bool

    @cached_property
    def best_window(self) -> NDArray[np.int64]:
        """For each subword the window that shows most context around it, shape (subwords,)."""
        count = max(window.offset + window.size for window in self.windows)
        best = np.zeros(count, np.int64)
        if len(self.windows) == 1:
            return best
        margin = np.full(count, -1)
        for index, window in enumerate(self.windows):
            position = np.arange(window.size)
            # A text's own start and end are no cuts: context is not missing there.
            left = position if window.offset > 0 else np.full(window.size, count)
            is_last = window.offset + window.size == count
            right = np.full(window.size, count) if is_last else window.size - 1 - position
            here = slice(window.offset, window.offset + window.size)
            context = np.minimum(left, right)
            better = context > margin[here]
            best[here][better] = index
            margin[here][better] = context[better]
        return best

    @cached_property
    def read_words(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The words that some window shows: their indices, and window and position of each.

        Cut and unreadable words are missing. A word is read at its first subword.
        """
        none = len(self.best_window)
        first = [none if word.first_token is None else word.first_token for word in self.words]
        tokens = np.array(first, np.int64)
        indices = np.flatnonzero(tokens < none)
        tokens = tokens[indices]
        windows = self.best_window[tokens]
        shifts = np.array([window.prefix - window.offset for window in self.windows], np.int64)
        return indices, windows, tokens + shifts[windows]
