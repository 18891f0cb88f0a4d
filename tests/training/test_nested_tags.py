"""Trees to labels and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.parse_labels import ParseLabel
from tests.training.parse_answers import decoded
from training.nested_tags import nested_tags
from training.parse_trees import Tree


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("[IN:GET_WEATHER ]", "how is the weather"),
        ("[IN:GET_WEATHER [SL:LOCATION Cluj ] ]", "weather in Cluj"),
        (
            "[IN:CREATE_REMINDER [SL:TODO [IN:GET_TODO [SL:DATE_TIME at 7 ] [SL:TODO call ] ] ] ]",
            "remind me to call mum at 7",
        ),
        ("[IN:SEND [SL:TO [IN:GET_CONTACT [SL:OF my ] [SL:KIND aunt ] ] ] ]", "write my dear aunt"),
        ("[IN:A [SL:B [IN:C [SL:D [IN:E [SL:F x ] ] ] [SL:G y ] ] ] [SL:H z ] ]", "x y z"),
        ("[IN:A [SL:B [IN:C ] ] [SL:D x ] ]", "x"),
        ("[IN:A [SL:B [IN:C [SL:D [IN:E ] ] [SL:F x ] ] ] ]", "x"),
        (
            "[IN:MOVE [SL:TIME move one hour ] [SL:ALL all ] [SL:TIME noon ] ]",
            "move all noon one hour",
        ),
        ("[IN:A [SL:B [IN:C [SL:D x z ] ] ] [SL:E y ] ]", "x y z"),
    ],
)
def test_labels_decode_to_the_tree_that_they_came_from(form: str, words: str) -> None:
    nested = nested_tags(Tree.parse(form), words.split())

    again = decoded(nested, words.split())

    assert Tree.parse(again).canonical == Tree.parse(form).canonical


def test_a_slot_that_holds_an_intent_is_labelled_with_both() -> None:
    form = "[IN:SEND [SL:TO [IN:GET_CONTACT [SL:OF my ] [SL:KIND aunt ] ] ] ]"

    nested = nested_tags(Tree.parse(form), ["write", "my", "aunt"])

    outer = "SL:TO[IN:GET_CONTACT]"
    assert nested.intent == "IN:SEND"
    assert nested.levels == (
        ("O", f"B-{outer}", f"I-{outer}"),
        ("O", "B-SL:OF", "B-SL:KIND"),
    )


def slot_trees(depth: int) -> st.SearchStrategy[Tree]:
    names = st.sampled_from(["SL:A", "SL:B", "SL:C"])
    leaves = st.builds(lambda name: Tree(name, words=("?",)), names)
    if depth == 0:
        return leaves
    nested = st.builds(lambda name, intent: Tree(name, (intent,)), names, intent_trees(depth - 1))
    return leaves | nested


def intent_trees(depth: int) -> st.SearchStrategy[Tree]:
    return st.builds(
        lambda name, slots: Tree(name, tuple(slots)),
        st.sampled_from(["IN:X", "IN:Y"]),
        st.lists(slot_trees(depth), max_size=3),
    )


def spelled(tree: Tree, words: list[str]) -> Tree:
    """A tree whose leaves are words of their own, in order; they are added to `words`."""
    if tree.words:
        words += [f"w{len(words)}", f"w{len(words) + 1}"]
        return Tree(tree.label, words=tuple(words[-2:]))
    return Tree(tree.label, tuple(spelled(child, words) for child in tree.children))


@given(intent_trees(3))
def test_any_tree_survives(drawn: Tree) -> None:
    words: list[str] = []
    tree = spelled(drawn, words)
    words = words or ["nothing"]

    assert Tree.parse(decoded(nested_tags(tree, words), words)).canonical == tree.canonical


@given(intent_trees(3))
def test_a_label_is_what_its_parts_say(drawn: Tree) -> None:
    label = nested_tags(spelled(drawn, words := []), words or ["nothing"]).intent

    assert str(ParseLabel.of(label)) == label
