"""`tokenizer.json` in, subword ids with their words out; long texts in overlapping windows.

A list of words is encoded as the words joined by one space, so it has the ids of that text under
any tokenizer. What differs is the unit that gets a label: the caller's words, or else the
tokenizer's own pre-tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from app.contract.encoded_text import (
    Arrays,
    EncodedText,
    Input,
    LongInput,
    Pair,
    Text,
    Window,
    Word,
)
from app.contract.errors import InputError, PackageError
from app.contract.normalization import NormalizedText, normalize
from app.contract.template import Ids, Template
from app.contract.windows import check_stride, window_starts

MIN_ROOM = 2
"""Tokens of a pair's second text that a window shows at least."""


class SubwordTokenizer:
    """A `tokenizer.json` with the contract's normalization in front."""

    kind = "subword"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        stride: int,
        pad_id: int = 0,
        reads_apart: bool = False,
    ) -> None:
        """Configure once; nothing is changed per call, so one instance serves many threads.

        Args:
            tokenizer: its own truncation and padding are switched off.
            max_tokens: longest window, special tokens included.
            stride: tokens that neighbouring windows share.
            pad_id: id that fills the shorter rows of a batch.
            reads_apart: each text of a pair gets a window of its own.

        Raises:
            PackageError: the window leaves no room for text or for the stride.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # A caller who writes "[SEP]" means these five characters.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._single = Template.of(tokenizer.encode("a"))
        self._paired = Template.of(tokenizer.encode("a", "a"))
        self._pad_id = pad_id
        self._reads_apart = reads_apart
        self.max_tokens = max_tokens
        self.stride = stride
        self.room = max_tokens - self._single.size
        if self.room <= stride:
            raise PackageError(f"max_tokens {max_tokens} leaves no room for a stride of {stride}")

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        max_tokens: int,
        stride: int,
        pad_id: int = 0,
        reads_apart: bool = False,
    ) -> "SubwordTokenizer":
        """Load `tokenizer.json`.

        Raises:
            PackageError: not a tokenizer file.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise PackageError(f"{path.name} is not a tokenizer file ({error})") from error
        return cls(
            tokenizer,
            max_tokens=max_tokens,
            stride=stride,
            pad_id=pad_id,
            reads_apart=reads_apart,
        )

    @property
    def settings(self) -> dict[str, object]:
        """Section `encoder` of the manifest."""
        sizes = {"max_tokens": self.max_tokens, "stride": self.stride}
        return {"kind": self.kind, **sizes, "pad_id": self._pad_id}

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        self._tokenizer.save(str(path), pretty=False)

    def encode(
        self,
        inputs: Sequence[Input],
        *,
        long: LongInput = "windows",
        stride: int | None = None,
        max_total_tokens: float = math.inf,
    ) -> list[EncodedText]:
        """Encode inputs, each a text, the words of one, or a pair; what repeats is read once.

        Args:
            inputs: one or more.
            long: what becomes of inputs longer than a window. In windows of a pair the first text
                is repeated whole; a pair is cut where it is longest. Texts that are read apart have
                one window each: long ones are cut, unless they are refused.
            stride: tokens shared by neighbouring windows, in [0, room); the package's by default.
            max_total_tokens: bound of all windows together; none is made beyond it.

        Raises:
            InputError: a text that leaves no subword (only characters the tokenizer drops), one
                that is too long, too much altogether, or a stride out of bounds.
        """
        stride = self.stride if stride is None else stride
        check_stride(stride, self.room)
        texts = list(dict.fromkeys(_texts(inputs)))
        normalized = [normalize(text) for text in texts]
        # `encode_batch`, even for one text: it releases the GIL, `encode` does not.
        encodings = self._tokenizer.encode_batch(
            [n.text for n in normalized], add_special_tokens=False
        )
        read = dict(zip(texts, zip(normalized, encodings, strict=True), strict=True))
        encoded: list[EncodedText] = []
        windows: set[Window] = set()
        apart: dict[str, tuple[tuple[Window, ...], bool]] = {}
        for index, given in enumerate(inputs):
            first = read[given.first][1] if isinstance(given, Pair) else None
            text, second = read[given.second if isinstance(given, Pair) else joined(given)]
            # Not their truth: an encoding without subwords is false.
            if not second.ids or (first is not None and not first.ids):
                part = given.names[not second.ids] if isinstance(given, Pair) else None
                message = f"the {part or 'text'} has no readable character"
                raise InputError("empty_text", message, index=index, part=part)
            one = _Input(given, text, second, first)
            try:
                if first is not None and self._reads_apart:
                    encoded.append(one.encode_apart(self, long, max_total_tokens, apart))
                else:
                    encoded.append(one.encode(self, long, stride, max_total_tokens))
            except InputError as error:
                raise InputError(error.code, str(error), index=index, part=error.part) from error
            new = {*encoded[-1].windows} - windows
            windows |= new
            max_total_tokens -= sum(window.num_tokens for window in new)
        return encoded

    def collate(self, windows: Sequence[Window]) -> Arrays:
        """Pad windows into one batch; see `collate`."""
        return collate(windows, pad_id=self._pad_id)

    def blank(self, rows: int, length: int) -> Arrays:
        """A batch of this shape without a text in it."""
        ones = np.ones((rows, length), np.int64)
        return {"input_ids": ones, "attention_mask": ones, "token_type_ids": 0 * ones}

    def refuse_long_first(self, pair: Pair, first: Ids, second: Ids) -> None:
        """Refuse a first text that leaves no room for windows of the second.

        Raises:
            InputError: it does.
        """
        room = self.max_tokens - self._paired.size
        if len(first) > room - min(len(second), MIN_ROOM):
            name, other = pair.names
            message = f"the {name} has {len(first)} tokens, at most {room - MIN_ROOM} leave room"
            raise InputError("text_too_long", f"{message} for the {other}; shorten it", part=name)

    def windows_of(
        self,
        first: Ids | None,
        second: Ids,
        long: LongInput,
        stride: int,
        max_total_tokens: float,
    ) -> tuple[tuple[Window, ...], bool]:
        """Rows for the subwords of one input, and whether any were cut off."""
        template = self._single if first is None else self._paired
        first = np.empty(0, np.int64) if first is None else first
        fixed = template.size + len(first)
        room = self.max_tokens - fixed
        too_long = len(second) > room
        # A long question leaves little room: then windows share at most half of it.
        stride = min(stride, room // 2) if template is self._paired else stride
        starts = window_starts(
            len(second),
            room,
            long=long,
            stride=stride,
            max_total_tokens=max_total_tokens,
            special=template.size,
            repeated=len(first),
        )
        if long == "cut":
            first, second = _cut(first, second, self.max_tokens - template.size)
            room = len(second)
        prefix = len(template.parts[0]) + len(first) + len(template.parts[1])
        windows = []
        for start in starts:
            inner = second[start : start + room]
            ids, types = template.row(first, inner)
            windows.append(Window(ids, types, offset=start, prefix=prefix, size=len(inner)))
        return tuple(windows), too_long and long == "cut"


@dataclass(frozen=True, slots=True)
class _Input:
    """One input on its way; for a pair `text` and `encoding` are those of the second text."""

    given: Input
    text: NormalizedText
    encoding: Encoding
    first: Encoding | None

    def encode(
        self,
        tokenizer: SubwordTokenizer,
        long: LongInput,
        stride: int,
        max_total_tokens: float,
    ) -> EncodedText:
        first = None if self.first is None else np.asarray(self.first.ids, np.int64)
        second = np.asarray(self.encoding.ids, np.int64)
        if isinstance(self.given, Pair) and first is not None and long == "windows":
            tokenizer.refuse_long_first(self.given, first, second)
        windows, truncated = tokenizer.windows_of(first, second, long, stride, max_total_tokens)
        original = self.given.second if isinstance(self.given, Pair) else joined(self.given)
        spans = _original_spans(original, self.text, self.encoding.offsets)
        if isinstance(self.given, str | Pair):
            words = _pre_tokens(spans, self.encoding.word_ids)
        else:
            words = given_words(self.given, spans)
        return EncodedText(original, words, spans, windows, truncated)

    def encode_apart(
        self,
        tokenizer: SubwordTokenizer,
        long: LongInput,
        max_total_tokens: float,
        made: dict[str, tuple[tuple[Window, ...], bool]],
    ) -> EncodedText:
        """Each text of a pair by itself; `made` is what was read so far, by text."""
        pair, first = self.given, self.first
        assert isinstance(pair, Pair)
        assert first is not None
        texts = ((pair.first, first), (pair.second, self.encoding))
        for name, (text, encoding) in zip(pair.names, texts, strict=True):
            if text not in made:
                ids = np.asarray(encoding.ids, np.int64)
                try:
                    made[text] = tokenizer.windows_of(None, ids, long, 0, max_total_tokens)
                except InputError as error:
                    raise InputError(error.code, str(error), part=name) from error
        (one, one_cut), (other, other_cut) = made[pair.first], made[pair.second]
        return EncodedText(pair.second, (), (), one + other, one_cut or other_cut)


def collate(windows: Sequence[Window], *, pad_id: int) -> Arrays:
    """Pad windows into one batch.

    Returns:
        `input_ids`, `attention_mask` and `token_type_ids`, int64, shape (len(windows), longest).
    """
    shape = len(windows), max(window.num_tokens for window in windows)
    input_ids = np.full(shape, pad_id, np.int64)
    attention_mask, type_ids = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, window in enumerate(windows):
        length = window.num_tokens
        input_ids[row, :length] = window.input_ids
        attention_mask[row, :length] = 1
        type_ids[row, :length] = window.type_ids
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": type_ids}


def joined(text: Text) -> str:
    """A text as it is; words with a space between."""
    return text if isinstance(text, str) else " ".join(text)


def _texts(inputs: Sequence[Input]) -> list[str]:
    """Every text of the inputs, a pair as two."""
    texts = []
    for given in inputs:
        texts += [given.first, given.second] if isinstance(given, Pair) else [joined(given)]
    return texts


def _cut(first: Ids, second: Ids, room: int) -> tuple[Ids, Ids]:
    """Both texts in `room` tokens: the longer one is cut until they fit or are equal."""
    excess = len(first) + len(second) - room
    if excess <= 0:
        return first, second
    if not len(first):
        return first, second[:room]
    shorter = min(len(first), len(second), room // 2)
    if len(first) <= len(second):
        return first[:shorter], second[: room - shorter]
    return first[: room - shorter], second[:shorter]


def _original_spans(
    original: str, text: NormalizedText, offsets: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int] | None, ...]:
    """Per subword its code points of the original, None if it stands for none.

    Without the white space that some tokenizers count to the token after it.
    """
    if text.spans is not None:
        offsets = [text.original_span(*span) if span[0] < span[1] else (0, 0) for span in offsets]
    return tuple(
        None
        if start >= end
        else (start, end)
        if not original[start].isspace()
        else (start + len(part := original[start:end]) - len(part.lstrip()), end)
        for start, end in offsets
    )


def _pre_tokens(
    spans: Sequence[tuple[int, int] | None], word_ids: Sequence[int | None]
) -> tuple[Word, ...]:
    words: list[Word] = []
    start = end = first = 0
    current = None
    for token, (word_id, span) in enumerate(zip(word_ids, spans, strict=True)):
        if span is None or span[0] == span[1]:
            continue
        if word_id != current or start == end:
            if start < end:
                words.append(Word(start, end, first))
            start, first, current = span[0], token, word_id
        end = span[1]
    if start < end:
        words.append(Word(start, end, first))
    return tuple(words)


def given_words(words: Sequence[str], spans: Sequence[tuple[int, int] | None]) -> tuple[Word, ...]:
    """Words that the caller cut: each is read off the first token that overlaps it.

    Args:
        words: not joined yet.
        spans: of the tokens, in code points of the joined words.
    """
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
