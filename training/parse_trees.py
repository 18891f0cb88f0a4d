"""Trees of meaning in MTOP's decoupled form: `[IN:GET_WEATHER [SL:LOCATION Cluj ] ]`.

Intents hold slots, slots hold either words or one more intent; words outside the slots are dropped
(Li et al. 2021, section 3.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tree:
    """A labelled node.

    Attributes:
        label: `IN:...` or `SL:...`.
        children: in the order of the text that was parsed.
        words: of a slot without children.
    """

    label: str
    children: tuple["Tree", ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Tree":
        """Read a tree whose brackets and words are separated by white space.

        >>> Tree.parse("[IN:GET_WEATHER [SL:LOCATION Cluj ] ]").children[0].words
        ('Cluj',)

        Raises:
            ValueError: brackets do not match, or a node has both words and children.
        """
        tokens = text.split()
        tree, end = _node(tokens, 0)
        if end != len(tokens):
            raise ValueError(f"{len(tokens) - end} tokens after the tree")
        return tree

    def __str__(self) -> str:
        return " ".join([f"[{self.label}", *map(str, self.children), *self.words, "]"])

    @property
    def leaves(self) -> Iterator["Tree"]:
        """The nodes that hold words, in order."""
        if self.words:
            yield self
        for child in self.children:
            yield from child.leaves

    @property
    def canonical(self) -> str:
        """Equal for trees that say the same.

        White space inside words does not count (`7pm`, `7 pm`), nor does the order of siblings: the
        translated trees of MTOP keep the order of the English sentence.
        """
        children = sorted(child.canonical for child in self.children)
        return f"[{self.label} {''.join(children)}{''.join(self.words)}]"


def _node(tokens: list[str], start: int) -> tuple[Tree, int]:
    """The node that begins at a token, and where the next one begins."""
    if start >= len(tokens) or not tokens[start].startswith(("[IN:", "[SL:")):
        raise ValueError("a node begins with [IN: or [SL:")
    children: list[Tree] = []
    words: list[str] = []
    position = start + 1
    while position < len(tokens) and tokens[position] != "]":
        if tokens[position].startswith(("[IN:", "[SL:")):
            child, position = _node(tokens, position)
            children.append(child)
        else:
            words.append(tokens[position])
            position += 1
    if position == len(tokens):
        raise ValueError("a bracket is never closed")
    label = tokens[start][1:]
    if words and (children or label.startswith("IN:")):
        raise ValueError(f"{label} has words beside its slots; is the tree decoupled?")
    return Tree(label, tuple(children), tuple(words)), position + 1
