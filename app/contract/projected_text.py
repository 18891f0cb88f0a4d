"""Texts to projected words: the encoder of models that have no vocabulary."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays, EncodedText, Input, LongInput, Pair, Window, Word
from app.contract.errors import InputError, PackageError
from app.contract.normalization import normalize
from app.contract.projection import FEATURES_PER_BYTE, word_features
from app.contract.segmentation import Segmenter
from app.contract.tokenization import given_words, joined
from app.contract.windows import check_stride, window_starts

Rows = NDArray[np.uint8]


class ProjectionEncoder:
    """Words of the contract's normalization and segmentation, hashed; one token a word."""

    kind = "projection"

    def __init__(
        self,
        *,
        features: int,
        case: bool,
        max_tokens: int,
        stride: int,
        lexicon: frozenset[str] = frozenset(),
    ) -> None:
        """Configure once; nothing is changed per call, so one instance serves many threads.

        Args:
            features: of each word; see app.contract.projection.
            case: whether two of them tell capitals.
            max_tokens: longest window.
            stride: tokens that neighbouring windows share.
            lexicon: words of scripts without spaces.

        Raises:
            PackageError: the window leaves no room for the stride.
        """
        if max_tokens <= stride:
            raise PackageError(f"max_tokens {max_tokens} leaves no room for a stride of {stride}")
        self.features = features
        self.case = case
        self.max_tokens = self.room = max_tokens
        self.stride = stride
        self.segment = Segmenter(lexicon)

    @classmethod
    def from_file(
        cls, path: Path, *, features: int, case: bool, max_tokens: int, stride: int
    ) -> "ProjectionEncoder":
        """Load the lexicon.

        Raises:
            PackageError: not a list of words.
        """
        try:
            words = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise PackageError(f"{path.name} is not readable JSON ({error})") from error
        if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
            raise PackageError(f"{path.name} is not a list of words")
        return cls(
            features=features,
            case=case,
            max_tokens=max_tokens,
            stride=stride,
            lexicon=frozenset(words),
        )

    @property
    def settings(self) -> dict[str, object]:
        """Section `encoder` of the manifest."""
        return {
            "kind": self.kind,
            "features": self.features,
            "case": self.case,
            "max_tokens": self.max_tokens,
            "stride": self.stride,
        }

    def save(self, path: Path) -> None:
        """Write the lexicon."""
        words = json.dumps(sorted(self.segment.lexicon), ensure_ascii=False, indent=0)
        path.write_text(f"{words}\n", encoding="utf-8")

    def encode(
        self,
        inputs: Sequence[Input],
        *,
        long: LongInput = "windows",
        stride: int | None = None,
        max_total_tokens: float = math.inf,
    ) -> list[EncodedText]:
        """Encode inputs, each a text or the words of one; see SubwordTokenizer.encode.

        Raises:
            InputError: a text without a visible character, one that is too long, too much
                altogether, or a stride out of bounds.
        """
        stride = self.stride if stride is None else stride
        check_stride(stride, self.room)
        encoded = []
        for index, given in enumerate(inputs):
            try:
                encoded.append(self._encode(given, long, stride, max_total_tokens))
            except InputError as error:
                raise InputError(error.code, str(error), index=index) from error
            max_total_tokens -= sum(window.num_tokens for window in encoded[-1].windows)
        return encoded

    def collate(self, windows: Sequence[Window]) -> Arrays:
        """Pad windows into one batch.

        Returns:
            `features`, uint8, shape (len(windows), longest, bytes), and `attention_mask`, int64,
            shape (len(windows), longest).
        """
        lengths = [window.num_tokens for window in windows]
        shape = len(windows), max(lengths)
        features = np.zeros((*shape, self.features // FEATURES_PER_BYTE), np.uint8)
        mask = np.zeros(shape, np.int64)
        for row, (window, length) in enumerate(zip(windows, lengths, strict=True)):
            features[row, :length] = window.input_ids
            mask[row, :length] = 1
        return {"features": features, "attention_mask": mask}

    def blank(self, rows: int, length: int) -> Arrays:
        """A batch of this shape without a text in it."""
        width = self.features // FEATURES_PER_BYTE
        return {
            "features": np.zeros((rows, length, width), np.uint8),
            "attention_mask": np.ones((rows, length), np.int64),
        }

    def rows(self, words: Sequence[str]) -> Rows:
        """Features of words, shape (words, bytes)."""
        packed = b"".join(
            [word_features(word, features=self.features, case=self.case) for word in words]
        )
        width = self.features // FEATURES_PER_BYTE
        return np.frombuffer(packed, np.uint8).reshape(len(words), width)

    def _encode(
        self, given: Input, long: LongInput, stride: int, max_total_tokens: float
    ) -> EncodedText:
        assert not isinstance(given, Pair)  # the manifest allows no head that reads pairs
        text = joined(given)
        normalized = normalize(text)
        spans, words = self.segment(normalized.text)
        if not words:
            raise InputError("empty_text", "the text has no readable character")
        if normalized.spans is not None:
            spans = [normalized.original_span(*span) for span in spans]
        rows = self.rows(words)
        starts = window_starts(
            len(rows), self.room, long=long, stride=stride, max_total_tokens=max_total_tokens
        )
        windows = []
        for start in starts:
            inner = rows[start : start + self.room]
            types = np.zeros(len(inner), np.int64)
            windows.append(Window(inner, types, offset=start, prefix=0, size=len(inner)))
        units = (
            tuple([Word(start, end, token) for token, (start, end) in enumerate(spans)])
            if isinstance(given, str)
            else given_words(given, spans)
        )
        truncated = long == "cut" and len(rows) > self.room
        return EncodedText(text, units, tuple(spans), tuple(windows), truncated)
