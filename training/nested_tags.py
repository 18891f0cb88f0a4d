"""Trees to labels that a tagger can give: one row of BIO tags for each level of nesting.

The inverse of app.contract.decoding.parse: the labels of a tree decode to a tree that says the same
(Tree.canonical), nested or not, with slots in pieces or without words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.contract.parse_labels import PIECE, ParseLabel
from training.datasets.examples import Utterance
from training.datasets.tree_alignment import find_words
from training.parse_trees import Tree


class NestedTags(NamedTuple):
    """An utterance as a parse head sees it.

    Attributes:
        intent: label of the whole.
        levels: BIO2 tags of each word, outermost slots first; at least one.
    """

    intent: str
    levels: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Slot:
    """A slot with words, its label, its words' places and the slots inside of it."""

    label: str
    places: tuple[int, ...]
    inside: tuple["_Slot", ...]


def nested_tags(tree: Tree, words: Sequence[str]) -> NestedTags:
    """Labels of a tree.

    Args:
        tree: decoupled.
        words: of the utterance (tree_alignment.cut_words).

    Raises:
        ValueError: the words of a slot are not in the utterance.
    """
    owners: list[int | None] = [None] * len(words)
    found = _find_leaves(tree, words, owners)
    slots = [_slot(child, found) for child in tree.children if any(child.leaves)]
    levels: list[tuple[str, ...]] = []
    while slots or not levels:
        tags = ["O"] * len(words)
        slots.sort(key=lambda slot: slot.places[0])
        for slot in slots:
            for number, run in enumerate(_runs(slot, owners)):
                label = _back(slot, slots, run[0]) * PIECE * bool(number) + slot.label
                tags[run[0]] = f"B-{label}"
                tags[run[0] + 1 : run[-1] + 1] = [f"I-{label}"] * (len(run) - 1)
        levels.append(tuple(tags))
        slots = [inner for slot in slots for inner in slot.inside]
    return NestedTags(_intent_label(tree), tuple(levels))


def nested_tags_of(utterance: Utterance) -> NestedTags:
    """Labels of an utterance that has any; flat ones where its corpus has no trees."""
    if utterance.tree is None:
        return NestedTags(utterance.intent, (utterance.sentence.tags or (),))
    return nested_tags(Tree.parse(utterance.tree), utterance.sentence.words)


def _find_leaves(
    tree: Tree, words: Sequence[str], owners: list[int | None]
) -> Iterator[tuple[int, ...]]:
    """Places of the words of each leaf, in the order of `Tree.leaves`; `owners` are filled in."""
    cursor = 0
    found = []
    for number, leaf in enumerate(tree.leaves):
        places = find_words("".join(leaf.words), words, owners, cursor)
        for place in places:
            owners[place] = number
        cursor = places[-1] + 1
        found.append(tuple(sorted(places)))
    return iter(found)


def _slot(node: Tree, found: Iterator[tuple[int, ...]]) -> _Slot:
    if node.words:
        return _Slot(node.label, next(found), ())
    [intent] = node.children
    inside = tuple(_slot(child, found) for child in intent.children if any(child.leaves))
    places = sorted(place for slot in inside for place in slot.places)
    return _Slot(str(ParseLabel(node.label, (_intent_label(intent),))), tuple(places), inside)


def _intent_label(intent: Tree) -> str:
    """An intent with its wordless slots."""
    wordless = (child for child in intent.children if not any(child.leaves))
    return str(ParseLabel(intent.label, tuple(_wordless_label(child) for child in wordless)))


def _wordless_label(slot: Tree) -> str:
    return str(ParseLabel(slot.label, tuple(_intent_label(intent) for intent in slot.children)))


def _back(slot: _Slot, slots: Sequence[_Slot], place: int) -> int:
    """How many slots of its label one goes back from a place to find a slot."""
    begun = [other for other in slots if other.label == slot.label and other.places[0] < place]
    return len(begun) - begun.index(slot) if slot in begun else 0


def _runs(slot: _Slot, owners: Sequence[int | None]) -> list[range]:
    """Stretches of words; what holds an intent also takes words that belong to nobody."""
    runs = [range(slot.places[0], slot.places[0] + 1)]
    for place in slot.places[1:]:
        between = range(runs[-1].stop, place)
        if not between or (slot.inside and all(owners[i] is None for i in between)):
            runs[-1] = range(runs[-1].start, place + 1)
        else:
            runs.append(range(place, place + 1))
    return runs
