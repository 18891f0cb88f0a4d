"""Which examples belong to which part of a corpus.

Split names may have a percentage slice: `valid`, `valid[:60%]`, `valid[60%:]`. Slices cut the order
in which a reader returns its examples, so `[:60%]` and `[60%:]` never share one.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

DEV_SHARE = 0.1
RUN_WORDS = 8
_DIACRITICS = re.compile("[\u0300-\u036f]+")
_WORD = re.compile(r"[^\W_]+")


class HasText(Protocol):
    """Anything that a text stands for."""

    @property
    def text(self) -> str:
        """The text."""


Example = TypeVar("Example")
Text = TypeVar("Text", bound=HasText)
_PATTERN = re.compile(r"(?P<name>[\w-]+)(?:\[(?:(?P<low>\d+)%)?:(?:(?P<high>\d+)%)?\])?")


@dataclass(frozen=True, slots=True)
class Split:
    """A named part of a corpus, cut to [low, high) percent."""

    name: str
    low: int = 0
    high: int = 100

    @classmethod
    def parse(cls, text: str) -> "Split":
        """Parse a split name.

        >>> Split.parse("valid[60%:]")
        Split(name='valid', low=60, high=100)

        Raises:
            ValueError: not of this form, or an empty slice.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"split {text!r}: expected NAME or NAME[LOW%:HIGH%]")
        low, high = int(match["low"] or 0), int(match["high"] or 100)
        if not low < high <= 100:
            raise ValueError(f"split {text!r}: the slice {low}%:{high}% is empty")
        return cls(match["name"], low, high)

    def cut(self, examples: Sequence[Example]) -> Sequence[Example]:
        """The slice's part of all the examples of the named split."""
        count = len(examples)
        return examples[count * self.low // 100 : count * self.high // 100]


def stable_fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, the same on every machine and run."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def shuffle(examples: Iterable[Example], key: Callable[[Example], str]) -> list[Example]:
    """Examples in order of the hash of their key: slices of a file sorted by label are then fair.

    Keys that differ in case, diacritics, punctuation or spaces alone have the same hash.
    """
    return [example for _, example in _by_position(examples, key)]


def carve(examples: Iterable[Example], split: str, key: Callable[[Example], str]) -> list[Example]:
    """One side of a split that the corpus does not have itself.

    The tenth whose key has the smallest hash is `dev`, everything else `train`; examples that share
    a key (see `shuffle`, which also gives the order) never part.

    Args:
        examples: of the whole.
        split: `dev` or `train`.
        key: text that must not occur on both sides.
    """
    is_dev = split == "dev"
    return [e for at, e in _by_position(examples, key) if (at < DEV_SHARE) is is_dev]


def apart(train: Sequence[Text], dev: Iterable[Text]) -> list[Text]:
    """The training examples that do not repeat a development example, exactly or nearly.

    Two texts are near if they share half of the runs of eight words of the shorter one (case,
    diacritics and punctuation aside); a text of fewer words is one run.
    """
    runs_of = [_runs(example.text) for example in dev]
    where = defaultdict(list)
    for i, runs in enumerate(runs_of):
        for run in runs:
            where[run].append(i)

    def repeats(text: str) -> bool:
        runs = _runs(text)
        shared = Counter(i for run in runs for i in where.get(run, ()))
        return any(2 * n >= min(len(runs), len(runs_of[i])) for i, n in shared.items())

    return [example for example in train if not repeats(example.text)]


def _by_position(
    examples: Iterable[Example], key: Callable[[Example], str]
) -> list[tuple[float, Example]]:
    keys = ((key(example), example) for example in examples)
    placed = [(stable_fraction("".join(_plain_words(text)) or text), e) for text, e in keys]
    return sorted(placed, key=lambda pair: pair[0])


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _plain_words(text) or text.split()
    count = max(1, len(words) - RUN_WORDS + 1)
    return {tuple(words[i : i + RUN_WORDS]) for i in range(count)}


def _plain_words(text: str) -> list[str]:
    """Lower-cased letters and digits without diacritics, word by word."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall(_DIACRITICS.sub("", plain))
