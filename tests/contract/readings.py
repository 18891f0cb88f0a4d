"""Encoded texts and outputs written by hand, for what decides on them."""

import numpy as np

from app.contract.encoded_text import EncodedText, Window, Word

Span = tuple[int, int]


def encoded_words(text: str, words: list[Span]) -> EncodedText:
    """One subword a word, in one window with a special token on each side."""
    ids = np.zeros(len(words) + 2, np.int64)
    window = Window(ids, ids, offset=0, prefix=1, size=len(words))
    placed = tuple(Word(*span, token) for token, span in enumerate(words))
    return EncodedText(text, placed, tuple(words), (window,), truncated=False)


def spaced(count: int) -> EncodedText:
    """`count` words "w" with spaces between."""
    return encoded_words(" ".join("w" * count), [(2 * i, 2 * i + 1) for i in range(count)])


def between_specials(rows: list[list[float]]) -> np.ndarray:
    """Logits of words, float32; those of the special tokens would win if they were read."""
    noise = [99.0] * (len(rows[0]) if rows else 2)
    return np.array([noise, *rows, noise], np.float32)
