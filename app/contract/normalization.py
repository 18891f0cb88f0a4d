"""Unicode policy of every text model: NFC, Romanian comma-below letters, offsets kept.

Romanian ş/ţ written with a cedilla (U+015F, U+0163 and capitals) become ș/ț with a comma below:
neither NFC nor NFKC unifies them, and a model that saw only one form degrades on the other.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

CEDILLA_TO_COMMA_BELOW = str.maketrans("ŞşŢţ", "ȘșȚț")


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
        spans.extend([(start, end)] * len(piece))
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
