"""Labels of parses: what stands at one place of a tree, written as brackets.

A slot that holds an intent is labelled with both, `SL:TODO[IN:GET_TODO]`. Slots without any word of
the text have no place of their own and are written into their intent,
`IN:GET_EVENT[SL:ATTENDEE[IN:GET_CONTACT]]`. A slot in several pieces has pluses before the label of
each piece but the first, as many as slots of that label one has to go back to find it. Slots and
intents of other corpora are plain names.
"""

from collections.abc import Sequence
from typing import NamedTuple

PIECE = "+"


class ParseLabel(NamedTuple):
    """A label taken apart.

    Attributes:
        name: of the slot or intent.
        inside: labels within its brackets: the intent of a slot, the wordless slots of an intent.
    """

    name: str
    inside: tuple[str, ...]

    @classmethod
    def of(cls, label: str) -> "ParseLabel":
        """Take a label apart, without its pluses.

        >>> ParseLabel.of("SL:TODO[IN:GET_TODO[SL:X[IN:Y]][SL:Z[IN:Y]]]").inside
        ('IN:GET_TODO[SL:X[IN:Y]][SL:Z[IN:Y]]',)
        """
        name, bracket, rest = label.lstrip(PIECE).partition("[")
        inside, depth, start = [], 0, 0
        for at, char in enumerate(bracket + rest):
            if char == "[":
                depth += 1
                start = at if depth == 1 else start
            elif char == "]":
                depth -= 1
                if depth == 0:
                    inside.append(rest[start : at - 1])
        return cls(name, tuple(inside))

    def __str__(self) -> str:
        return self.name + "".join(f"[{label}]" for label in self.inside)

    @property
    def is_nested(self) -> bool:
        """Whether it is a slot that holds an intent."""
        return bool(self.inside) and not self.name.startswith("IN:")


def intent_tree(label: str, slots: Sequence[str]) -> str:
    """MTOP's decoupled form of an intent.

    >>> intent_tree("IN:GET_WEATHER", ["[SL:LOCATION Cluj ]"])
    '[IN:GET_WEATHER [SL:LOCATION Cluj ] ]'

    Args:
        label: of the intent.
        slots: their trees.
    """
    name, wordless = ParseLabel.of(label)
    trees = [*slots, *(slot_tree(slot, []) for slot in wordless)]
    return " ".join([f"[{_prefixed('IN:', name)}", *trees, "]"])


def slot_tree(label: str, inside: Sequence[str]) -> str:
    """MTOP's decoupled form of a slot.

    Args:
        label: of the slot.
        inside: its words; if it holds an intent, the trees of that one's slots.
    """
    name, intents = ParseLabel.of(label)
    content = [intent_tree(intents[0], inside)] if intents else inside
    return " ".join([f"[{_prefixed('SL:', name)}", *content, "]"])


def _prefixed(prefix: str, name: str) -> str:
    return name if name.startswith(prefix) else prefix + name
