"""Where the slots of a decoupled tree stand in the utterance.

The tree has the words of each slot but not their places, in the order of the English sentence, cut
otherwise than the text (`7 pm` for `7pm`), and a slot's words need not stand together.
"""

import itertools
import unicodedata
from collections.abc import Sequence

from training.parse_trees import Tree


def cut_words(text: str) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """Words and whether a space follows each: cut at white space, and around punctuation.

    >>> cut_words("What's on?")
    (('What', "'", 's', 'on', '?'), (False, False, True, False, False))
    """
    words: list[str] = []
    space_after: list[bool] = []
    joins = False
    for chunk in text.split():
        for char in chunk:
            is_mark = unicodedata.category(char)[0] in "PS"
            if joins and not is_mark:
                words[-1] += char
            else:
                words.append(char)
                space_after.append(False)
            joins = not is_mark
        space_after[-1] = True
        joins = False
    return tuple(words), (*space_after[:-1], False) if words else ()


def slot_tags(tree: Tree, words: Sequence[str]) -> tuple[str, ...]:
    """BIO2 tags of the tree's outermost slots.

    A slot reaches from its first word to its last, unless another slot stands in between: then it
    becomes one span a piece. Slots without words have no place.

    Raises:
        ValueError: the words of a slot are not in the utterance.
    """
    owners: list[int | None] = [None] * len(words)
    cursor = 0
    for number, slot in enumerate(tree.children):
        for leaf in slot.leaves:
            places = find_words("".join(leaf.words), words, owners, cursor)
            for place in places:
                owners[place] = number
            cursor = places[-1] + 1
    _close_gaps(owners)
    return tuple(
        "O" if owner is None else f"{'I' if owner == before else 'B'}-{tree.children[owner].label}"
        for before, owner in zip([None, *owners], owners, strict=False)
    )


def find_words(
    text: str, words: Sequence[str], owners: Sequence[int | None], cursor: int
) -> list[int]:
    """Free words that spell a text: together if possible, after the cursor if possible.

    Raises:
        ValueError: there are none.
    """
    starts = [*range(cursor, len(words)), *range(cursor)]
    for start in starts:
        places = _spell(text, words, owners, range(start, len(words)), may_skip=False)
        if places:
            return places
    for start in starts:
        places = _spell(text, words, owners, range(start, len(words)), may_skip=True)
        if places:
            return places
    raise ValueError(f"the words of a slot ({len(text)} characters) are not in the utterance")


def _spell(
    text: str,
    words: Sequence[str],
    owners: Sequence[int | None],
    places: range,
    *,
    may_skip: bool,
) -> list[int]:
    """Those of the places whose words spell a text in order; nothing if they do not."""
    found: list[int] = []
    for place in places:
        if owners[place] is None and text.startswith(words[place]):
            text = text.removeprefix(words[place])
            found.append(place)
            if not text:
                return found
        elif not may_skip:
            break
    return []


def _close_gaps(owners: list[int | None]) -> None:
    """Give words between two words of the same slot to it."""
    owned = [place for place, owner in enumerate(owners) if owner is not None]
    for left, right in itertools.pairwise(owned):
        if owners[left] == owners[right]:
            owners[left:right] = [owners[left]] * (right - left)
