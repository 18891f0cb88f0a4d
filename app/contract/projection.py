"""Ternary projections: words in, hashed features out, without a vocabulary (pQRNN's encoder).

Kaliamoorthi et al. 2021, arXiv 2101.08890; hash and ternary map as in TensorFlow's seq_flow_lite,
but on unsigned bytes. Two bits of a hash code are a feature: 00 and 11 are 0, 01 is +1, 10 is -1.
Four features make a byte, and such bytes are what the graph reads: the codes themselves, least
significant byte first.
"""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FEATURES_PER_CODE = 32
FEATURES_PER_BYTE = 4
MAX_FEATURES = 4096
CACHED_WORDS = 2**14
CACHED_CHARS = 32
"""Longer words are rare; they are hashed anew each time, so that nobody can fill the memory."""

_K1, _K2, _MASK = 0xC6A4A7935BD1E995, 0x9E3779B97F4A7835, 2**64 - 1
_REPEATED = re.compile(r"((?:(?!\d)\S){1,3}?)\1{2,}")
_EMPTY = b"<null>"
_PLUS, _MINUS = 0b01, 0b10

TERNARY: NDArray[np.int8] = np.array(
    [[(0, 1, -1, 0)[byte >> 2 * i & 3] for i in range(FEATURES_PER_BYTE)] for byte in range(256)],
    np.int8,
)
"""The features of each byte, shape (256, 4)."""


def word_features(word: str, *, features: int, case: bool = False) -> bytes:
    """The features of a word, four in a byte.

    A pattern of up to three characters, no digits, that occurs more than twice in a row counts
    twice; letters are lower-cased one by one; a word without characters is `<null>`.

    >>> TERNARY[np.frombuffer(word_features("hello", features=32), np.uint8)].ravel()[:16].tolist()
    [0, 1, 1, 0, 1, 0, 0, 0, 0, -1, 0, 1, 1, 1, 0, 1]

    Args:
        word: normalized (app.contract.normalization).
        features: how many, a multiple of FEATURES_PER_CODE.
        case: replace the fourth last by whether all letters are capitals and the third last by
            whether the first is one, +1 or -1.

    Returns:
        features / 4 bytes.
    """
    if len(word) > CACHED_CHARS:
        return _features(word, features, case)
    return _cached_features(word, features, case)


def hash_codes(data: bytes, count: int) -> list[int]:
    """`count` codes of 64 bits, a multiple of 2: a Murmur-like hash of 128 bits, prolonged."""
    high, low, end = 0, len(data) * _K1 & _MASK, len(data) // 8 * 8
    for start in range(0, end, 8):
        word = int.from_bytes(data[start : start + 8], "little")
        low = (low ^ _mix(word * _K1 & _MASK) * _K1) * _K1 & _MASK
        high ^= low
    if end < len(data):
        low = (low ^ int.from_bytes(data[end:], "little")) * _K1 & _MASK
        high ^= low
    low = _mix(low) * _K1 & _MASK
    high ^= low
    low, high = _mix(low), _mix(high * _K2 & _MASK) * _K2 & _MASK
    codes = [low, high]
    while len(codes) < count:
        step = _mix(low) * _K1 & _MASK
        low, high = _mix((high ^ step) * _K2 & _MASK) * _K2 & _MASK, _mix(step)
        codes += [low, high]
    return codes


def _mix(value: int) -> int:
    return value ^ value >> 47


def _features(word: str, features: int, case: bool) -> bytes:
    data = "".join(map(str.lower, _REPEATED.sub(r"\1\1", word))).encode("utf-8", "surrogatepass")
    codes = hash_codes(data or _EMPTY, features // FEATURES_PER_CODE)
    packed = b"".join(code.to_bytes(8, "little") for code in codes)
    if not case:
        return packed
    capitals = _PLUS if word.isupper() else _MINUS
    capital = _PLUS if word[:1].isupper() else _MINUS
    return packed[:-1] + bytes([packed[-1] & 0b11110000 | capital << 2 | capitals])


_cached_features = lru_cache(CACHED_WORDS)(_features)
