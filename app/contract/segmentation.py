"""Running text to words: cut at spaces and around marks, by a lexicon where there are no spaces."""

import itertools
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # kana, Han
)
"""Scripts that write words without spaces, as ranges of a regular expression."""


APART = "\u200b\ufe00-\ufe0f"
"""Zero-width space and variation selectors, which separate words as spaces do."""

Span = tuple[int, int]


class Segments(NamedTuple):
    """Words in order.

    Attributes:
        spans: [start, end) of each in the text.
        words: each as it stands there, without characters that nobody sees.
    """

    spans: list[Span]
    words: list[str]


class Segmenter:
    """Cuts texts into words.

    Punctuation marks and symbols are words of their own. Scripts without spaces are cut into the
    words of the lexicon that leave the fewest characters over, and the fewest of them; what is left
    over is cut into characters with their marks. Control and format characters are no part of
    words; white space and what is in APART separate them.
    """

    def __init__(self, lexicon: frozenset[str] = frozenset()) -> None:
        """Take words of scripts without spaces."""
        self.lexicon = lexicon
        self._longest = max(map(len, lexicon), default=1)
        self._patterns = _patterns()

    def __call__(self, text: str) -> Segments:
        """Words of a normalized text.

        >>> Segmenter()("What's on at 7pm?").words
        ['What', "'", 's', 'on', 'at', '7pm', '?']
        """
        patterns = self._patterns
        spans = [match.span() for match in patterns.word.finditer(text)]
        if not text.isascii() and patterns.unspaced.search(text):
            spans = [piece for span in spans for piece in self._cut(text, *span)]
        found = Segments(spans, [text[start:end] for start, end in spans])
        return found if text.isprintable() else _without(patterns.hidden, found)

    def is_unspaced(self, word: str) -> bool:
        """Whether a word begins in a script that is written without spaces."""
        return self._patterns.unspaced.match(word) is not None

    def _cut(self, text: str, offset: int, end_of_run: int) -> Iterator[Span]:
        """Places of the words of a run without spaces; any other run is a word.

        For each place that a word may end at, the best way to get there: characters left over,
        words, and where the last of these begins.
        """
        if not self._patterns.unspaced.match(text, offset):
            yield offset, end_of_run
            return
        run = text[offset:end_of_run]
        places = [i for i, char in enumerate(run) if i == 0 or unicodedata.category(char)[0] != "M"]
        places.append(len(run))
        best = {0: (0, 0, 0)}
        for at, end in enumerate(places[1:], start=1):
            left, words, _ = best[places[at - 1]]
            best[end] = (left + 1, words + 1, places[at - 1])
            for place in range(at - 1, -1, -1):
                start = places[place]
                if end - start > self._longest:
                    break
                if run[start:end] in self.lexicon:
                    left, words, _ = best[start]
                    best[end] = min(best[end], (left, words + 1, start))
        cuts = [len(run)]
        while cuts[-1]:
            cuts.append(best[cuts[-1]][2])
        for start, end in itertools.pairwise(reversed(cuts)):
            yield offset + start, offset + end


class _Patterns(NamedTuple):
    word: re.Pattern[str]
    unspaced: re.Pattern[str]
    hidden: re.Pattern[str]


@lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    """Built once, from the categories of all characters."""
    marks, hidden = _ranges("P", "S"), _ranges("Cc", "Cf", "Cs")
    # Only sets within the first 65,536 characters are looked up in a table.
    letters = re.sub(f"[{APART}{UNSPACED}]", "", "".join(map(chr, range(0x10000))))
    letters = "".join(c for c in letters if unicodedata.category(c)[0] in "LMN")
    other = rf"[^\s{APART}{marks}{UNSPACED}]"
    word = rf"(?:[{letters}]++|{other})+|[{UNSPACED}]+|[{marks}]"
    return _Patterns(re.compile(word), re.compile(f"[{UNSPACED}]"), re.compile(f"[{hidden}]+"))


def _ranges(*categories: str) -> str:
    """The characters whose category begins so, as ranges of a regular expression."""

    def is_wanted(point: int) -> bool:
        return unicodedata.category(chr(point)).startswith(categories)

    runs = itertools.groupby(range(sys.maxunicode + 1), is_wanted)
    found = [list(run) for wanted, run in runs if wanted]
    return "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in found)


def _without(hidden: re.Pattern[str], found: Segments) -> Segments:
    """Words without hidden characters, nor these at the ends of their places."""
    kept = Segments([], [])
    for (start, end), word in zip(*found, strict=True):
        bare = hidden.sub("", word)
        if bare:
            head = hidden.match(word)
            start += head.end() if head else 0
            end -= len(word) - len(word.rstrip("".join(hidden.findall(word))))
            kept.spans.append((start, end))
            kept.words.append(bare)
    return kept
