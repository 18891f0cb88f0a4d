"""Unlabelled sentences cut out of raw text, for a teacher to label."""

import re
from collections.abc import Iterable, Sequence

from app.contract.encoded_text import Word
from app.contract.encoding import Encoder
from training.datasets.examples import TaggedSentence
from training.datasets.raw_text import TextLine
from training.datasets.splits import stable_fraction
from training.errors import DataError

_BOUNDARY = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"”»)]))\s+(?=[\"„«(]?[A-ZĂÂÎȘȚ])")
MIN_WORDS, MAX_WORDS = 5, 60


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
    found = {
        sentence
        for line in lines
        for sentence in _BOUNDARY.split(line.text)
        if MIN_WORDS <= sentence.count(" ") + 1 <= MAX_WORDS and not line.is_dev
    }
    if len(found) < count:
        raise DataError(f"the raw text holds {len(found)} sentences, the recipe wants {count}")
    chosen = sorted(found, key=stable_fraction)[:count]
    return [_as_words(encoded.text, encoded.words) for encoded in tokenizer.encode(chosen)]


def _as_words(text: str, words: Sequence[Word]) -> TaggedSentence:
    surfaces = tuple(text[word.start : word.end] for word in words)
    following = [*(word.start for word in words[1:]), len(text)]
    space_after = tuple(start > word.end for word, start in zip(words, following, strict=True))
    return TaggedSentence(surfaces, None, space_after)
