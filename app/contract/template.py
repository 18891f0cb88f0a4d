"""The special tokens that a model wants around a text or a pair."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Template:
    """These tokens, and the segment (type id) of each part of a row.

    Attributes:
        parts: ids before, between and after; a single text has nothing between.
        types: segment of these parts, and of the first and the second text.
    """

    parts: tuple[Ids, Ids, Ids]
    types: tuple[int, int, int, int, int]

    @classmethod
    def of(cls, probe: Encoding) -> "Template":
        """Read the template off an encoded probe."""
        sequence = probe.sequence_ids
        texts = [position for position, owner in enumerate(sequence) if owner is not None]
        second = next((p for p in texts if sequence[p] == 1), None)
        first_end = (texts[-1] if second is None else max(p for p in texts if p < second)) + 1
        bounds = ((0, texts[0]), (first_end, second or first_end), (texts[-1] + 1, len(sequence)))
        ids, types = np.asarray(probe.ids, np.int64), probe.type_ids

        def type_of(start: int, end: int) -> int:
            return types[start] if start < end else 0

        return cls(
            (ids[slice(*bounds[0])], ids[slice(*bounds[1])], ids[slice(*bounds[2])]),
            (
                *(type_of(*bound) for bound in bounds),
                types[texts[0]],
                types[second or texts[-1]],
            ),
        )

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return sum(len(part) for part in self.parts)

    def row(self, first: Ids, second: Ids) -> tuple[Ids, Ids]:
        """Ids and segments of a row; for a single text `first` is empty and `second` the text."""
        before, between, after = self.parts
        chunks = (before, first, between, second, after)
        before_type, between_type, after_type, first_type, second_type = self.types
        types = (before_type, first_type, between_type, second_type, after_type)
        lengths = [len(chunk) for chunk in chunks]
        return np.concatenate(chunks), np.repeat(np.asarray(types, np.int64), lengths)
