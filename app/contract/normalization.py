"""Unicode policy of every text model: NFC, Romanian comma-below letters, offsets kept.

Romanian ş/ţ written with a cedilla (U+015F, U+0163 and capitals) become ș/ț with a comma below:
neither NFC nor NFKC unifies them, and a model that saw only one form degrades on the other.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

CEDILLA_TO_COMMA_BELOW = str.maketrans("ŞşŢţ", "ȘșȚț")
MAX_MARKS = 64
"""Combining marks in a row that a service reads: NFC sorts them in time of their number squared."""
_MAYBE_MARKS = re.compile(f"[\u0300-\U0010ffff]{{{MAX_MARKS + 1}}}")
_MARKS = re.compile(rb"[^\0]{%d}" % (MAX_MARKS + 1))
_MARKS_IN_PARTS = str.maketrans({"\u0f73": "\u0f72", "\u0f75": "\u0f74", "\u0f81": "\u0f80"})
"""Not marks themselves, but made of two."""


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """A normalized text that remembers where each of its characters came from.

    Attributes:
        text: the normalized text.
        spans: per character of `text`, the [start, end) code points of the original it stands
            for; None when the two texts line up one to one.
    """

    text: str
    spans: tuple[tuple[int, int], ...] | None = None

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map the non-empty [start, end) of the normalized text to code points of the original."""
        if self.spans is None:
            return start, end
        return self.spans[start][0], self.spans[end - 1][1]


def has_too_many_marks(text: str) -> bool:
    """Whether more than `MAX_MARKS` combining marks stand in a row.

    >>> has_too_many_marks("e" + 64 * "\u0301"), has_too_many_marks("e" + 65 * "\u0301")
    (False, True)
    """
    if not _MAYBE_MARKS.search(text):  # of letters below U+0300 none is a mark
        return False
    classes = bytes(map(unicodedata.combining, text.translate(_MARKS_IN_PARTS)))
    return _MARKS.search(classes) is not None


def normalize(text: str) -> NormalizedText:
    """Normalize one text.

    >>> normalize("Timis\u0327oara").text        # s + combining cedilla -> ş -> ș
    'Timișoara'
    >>> normalize("Timis\u0327oara").original_span(4, 5)
    (4, 6)
    """
    if unicodedata.is_normalized("NFC", text):
        return NormalizedText(text.translate(CEDILLA_TO_COMMA_BELOW))
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _starts_segment(text[end]):
            continue
        piece = unicodedata.normalize("NFC", text[start:end])
        pieces.append(piece)
        # Characters at its end that stay as they are stand for themselves.
        pairs = zip(reversed(piece), reversed(text[start:end]), strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        spans.extend([(start, end - same)] * (len(piece) - same))
        spans.extend((at, at + 1) for at in range(end - same, end))
        start = end
    return NormalizedText("".join(pieces).translate(CEDILLA_TO_COMMA_BELOW), tuple(spans))


def _starts_segment(char: str) -> bool:
    """Whether NFC never joins `char` to what stands before it."""
    return unicodedata.combining(char) == 0 and char not in _composing_starters()


@lru_cache(maxsize=1)
def _composing_starters() -> frozenset[str]:
    """Characters of combining class 0 that NFC may still join to their left neighbour.

    These are the second halves of canonical decompositions (some Indic vowel signs) and the
    Hangul vowel and trailing jamo, which compose by arithmetic.
    """
    jamo = {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    seconds = set()
    for codepoint in range(0x110000):
        parts = unicodedata.decomposition(chr(codepoint)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    return frozenset(jamo | {c for c in seconds if unicodedata.combining(c) == 0})
