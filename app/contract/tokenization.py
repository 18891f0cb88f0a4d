"""`tokenizer.json` in, subword ids with their words out; long texts in overlapping windows.

A list of words is encoded as the words joined by one space, so it has the ids of that text under
any tokenizer. What differs is the unit that gets a label: the caller's words, or else the
tokenizer's own pre-tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from app.contract.errors import InputError, PackageError
from app.contract.normalization import NormalizedText, normalize

Text = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Word:
    """A unit that gets one label.

    Attributes:
        start, end: code points of the original text, end exclusive.
        first_token: index of its first subword in the text's subwords; None if it has none
            (characters that the tokenizer drops).
    """

    start: int
    end: int
    first_token: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """One row of a batch.

    Attributes:
        input_ids: shape (length,), special tokens included.
        offset: index in the text's subwords of the window's first subword.
        prefix: number of special tokens before that first subword.
        size: number of the text's subwords in the window.
    """

    input_ids: NDArray[np.int64]
    offset: int
    prefix: int
    size: int


@dataclass(frozen=True)
class EncodedText:
    """A text ready for the graph, and what is needed to read the answer.

    Attributes:
        text: the original; for a list of words, the words joined by one space.
        words: in order, never overlapping.
        windows: at least one; together they cover all subwords unless `truncated`.
        truncated: whether subwords were cut off.
    """

    text: str
    words: tuple[Word, ...]
    windows: tuple[Window, ...]
    truncated: bool

    @cached_property
    def best_window(self) -> NDArray[np.int64]:
        """For each subword the window that shows most context around it, shape (subwords,)."""
        count = max(window.offset + window.size for window in self.windows)
        best = np.zeros(count, np.int64)
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


class SubwordTokenizer:
    """A `tokenizer.json` with the contract's normalization in front."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, stride: int) -> None:
        """Configure once; nothing is changed per call, so one instance serves many threads.

        Args:
            tokenizer: its own truncation and padding are switched off.
            max_tokens: longest window, special tokens included.
            stride: tokens that neighbouring windows share.

        Raises:
            PackageError: the window leaves no room for text or for the stride.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # A caller who writes "[SEP]" means these five characters.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        probe = tokenizer.encode("a")
        first = probe.special_tokens_mask.index(0) if 0 in probe.special_tokens_mask else 1
        ids = [
            i for i, special in zip(probe.ids, probe.special_tokens_mask, strict=True) if special
        ]
        self._prefix, self._suffix = ids[:first], ids[first:]
        self.max_tokens = max_tokens
        self.stride = stride
        self.room = max_tokens - len(ids)
        if self.room <= stride:
            raise PackageError(f"max_tokens {max_tokens} leaves no room for a stride of {stride}")

    @classmethod
    def from_file(cls, path: Path, *, max_tokens: int, stride: int) -> "SubwordTokenizer":
        """Load `tokenizer.json`.

        Raises:
            PackageError: not a tokenizer file.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise PackageError(f"{path.name} is not a tokenizer file ({error})") from error
        return cls(tokenizer, max_tokens=max_tokens, stride=stride)

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        self._tokenizer.save(str(path))

    def encode(
        self, texts: Sequence[Text], *, truncate: bool = False, stride: int | None = None
    ) -> list[EncodedText]:
        """Encode texts, each a string or a list of words.

        Args:
            texts: one or more inputs.
            truncate: keep the first window only instead of reading on in overlapping windows.
            stride: tokens shared by neighbouring windows, in [0, room); the package's by default.

        Raises:
            InputError: a text that leaves no subword (only characters the tokenizer drops), or a
                stride out of bounds.
        """
        stride = self.stride if stride is None else stride
        if not 0 <= stride < self.room:
            raise InputError(
                "invalid_parameter", f"stride must be in [0, {self.room}), got {stride}"
            )
        normalized = [normalize(t if isinstance(t, str) else " ".join(t)) for t in texts]
        # `encode_batch`, even for one text: it releases the GIL, `encode` does not.
        encodings = self._tokenizer.encode_batch(
            [text.text for text in normalized], add_special_tokens=False
        )
        for index, encoding in enumerate(encodings):
            if not encoding.ids:
                message = "the text has no readable character"
                raise InputError("empty_text", message, index=index)
        return [
            self._encode_one(text, encoding, joined, truncate=truncate, stride=stride)
            for text, encoding, joined in zip(texts, encodings, normalized, strict=True)
        ]

    def _encode_one(
        self,
        text: Text,
        encoding: Encoding,
        normalized: NormalizedText,
        *,
        truncate: bool,
        stride: int,
    ) -> EncodedText:
        ids = np.asarray(encoding.ids, np.int64)
        starts = range(0, max(1, len(ids) - stride), self.room - stride)
        windows = tuple(self._window(ids, start) for start in (starts[:1] if truncate else starts))
        joined = text if isinstance(text, str) else " ".join(text)
        spans = [
            _without_space(joined, normalized.original_span(*span)) if span[0] < span[1] else None
            for span in encoding.offsets
        ]
        if isinstance(text, str):
            words = _pre_tokens(spans, encoding.word_ids)
        else:
            words = _given_words(text, spans)
        return EncodedText(joined, words, windows, truncated=truncate and len(ids) > self.room)

    def _window(self, ids: NDArray[np.int64], start: int) -> Window:
        inner = ids[start : start + self.room]
        row = np.concatenate([self._prefix, inner, self._suffix]).astype(np.int64)
        return Window(row, offset=start, prefix=len(self._prefix), size=len(inner))


def _without_space(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """A span without the white space that some tokenizers count to the token after it."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    return start, end


def _pre_tokens(
    spans: Sequence[tuple[int, int] | None], word_ids: Sequence[int | None]
) -> tuple[Word, ...]:
    words: list[Word] = []
    previous = None
    for token, (word_id, span) in enumerate(zip(word_ids, spans, strict=True)):
        if span is None or span[0] == span[1]:
            continue
        if word_id == previous and words:
            words[-1] = Word(words[-1].start, span[1], words[-1].first_token)
        else:
            words.append(Word(*span, token))
        previous = word_id
    return tuple(words)


def _given_words(words: Sequence[str], spans: Sequence[tuple[int, int] | None]) -> tuple[Word, ...]:
    """A word is read off the first subword that overlaps it."""
    placed: list[Word] = []
    start = token = 0
    for word in words:
        end = start + len(word)
        while token < len(spans) and ((span := spans[token]) is None or span[1] <= start):
            token += 1
        span = spans[token] if token < len(spans) else None
        placed.append(Word(start, end, token if span and span[0] < end else None))
        start = end + 1
    return tuple(placed)
