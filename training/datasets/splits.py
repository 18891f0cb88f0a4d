"""Split names with an optional percentage slice: `valid`, `valid[:60%]`, `valid[60%:]`.

Slices cut the file's own order, so `[:60%]` and `[60%:]` never share an example.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Example = TypeVar("Example")
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
