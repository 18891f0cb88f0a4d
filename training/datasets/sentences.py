"""Texts cut out of longer ones: sentences and pairs for a teacher to label, pieces of a window."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from app.contract.encoded_text import Word
from app.contract.encoding import Encoder
from training.datasets.examples import LabelledText, ScoredPair, TaggedSentence
from training.datasets.raw_text import TextLine
from training.datasets.splits import stable_fraction
from training.errors import DataError

_BOUNDARY = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"”»)]))\s+(?=[\"„«(]?[A-ZĂÂÎȘȚ])")
MIN_WORDS, MAX_WORDS = 5, 60
Kind = TypeVar("Kind", str, tuple[str, str])


def choose_sentences(
    lines: Iterable[TextLine], *, count: int, tokenizer: Encoder
) -> list[TaggedSentence]:
    """Choose `count` sentences by the hash of their text, whatever order they come in.

    Args:
        lines: raw text (training.text_mix).
        count: sentences wanted.
        tokenizer: cuts them into words.

    Raises:
        DataError: the text holds fewer.
    """
    found = {sentence for line in lines for sentence in _sentences(line)}
    chosen = _choose(found, count, "sentences", key=str)
    return [_as_words(encoded.text, encoded.words) for encoded in tokenizer.encode(chosen)]


def choose_pairs(lines: Iterable[TextLine], *, count: int) -> list[ScoredPair]:
    """Choose `count` pairs of neighbours, likewise; nobody has scored them.

    Neighbours among the sentences of a line that have a usual length.

    Raises:
        DataError: the text holds fewer.
    """
    found = {pair for line in lines for pair in pairwise(_sentences(line))}
    chosen = _choose(found, count, "pairs of sentences", key="\n".join)
    return [ScoredPair(first, second, math.nan) for first, second in chosen]


def cut_to_windows(texts: Iterable[LabelledText], tokenizer: Encoder) -> list[LabelledText]:
    """Cut long texts into windows that share nothing, each with the labels of the whole.

    The first is what is read of a text that is cut. A last one of less than half a window, which
    may say nothing of the label, is left out.

    Args:
        texts: short ones stay as they are.
        tokenizer: says what fits into a window.
    """
    given = list(texts)
    read = tokenizer.encode([text.text for text in given], stride=0)
    pieces: list[LabelledText] = []
    for text, encoded in zip(given, read, strict=True):
        longest = encoded.windows[0].size
        for window in encoded.windows:
            if window.offset and 2 * window.size < longest:
                continue
            spans = [span for span in encoded.spans[window.offset :][: window.size] if span]
            piece = text.text[spans[0][0] : spans[-1][1]]
            pieces.append(replace(text, text=piece) if len(encoded.windows) > 1 else text)
    return pieces


def _sentences(line: TextLine) -> Iterator[str]:
    """Those of a line for training, of a usual length."""
    if not line.is_dev:
        for sentence in _BOUNDARY.split(line.text):
            if MIN_WORDS <= sentence.count(" ") + 1 <= MAX_WORDS:
                yield sentence


def _choose(found: set[Kind], count: int, what: str, *, key: Callable[[Kind], str]) -> list[Kind]:
    if len(found) < count:
        raise DataError(f"the raw text holds {len(found)} {what}, the recipe wants {count}")
    return sorted(found, key=lambda each: stable_fraction(key(each)))[:count]


def _as_words(text: str, words: Sequence[Word]) -> TaggedSentence:
    surfaces = tuple(text[word.start : word.end] for word in words)
    following = [*(word.start for word in words[1:]), len(text)]
    space_after = tuple(start > word.end for word, start in zip(words, following, strict=True))
    return TaggedSentence(surfaces, None, space_after)
