from training.augmentation import augmented
from training.datasets.examples import TaggedSentence, Utterance
from training.sections import Augmentation


def utterance(text: str, tags: str) -> Utterance:
    words = tuple(text.split())
    return Utterance(TaggedSentence(words, tuple(tags.split()), (True,) * len(words)), "IN:A")


ENGLISH = [
    utterance("weather in New York now", "O O B-PLACE I-PLACE O"),
    utterance("is it cold in Oslo", "O O O O B-PLACE"),
]
SPANISH = [utterance("tiempo en Nueva York", "O O B-PLACE I-PLACE")]


def test_values_of_a_slot_are_exchanged_whole_and_nothing_else_changes() -> None:
    recipe = Augmentation(copies=10, exchanged=1.0, switched=0.0, lost=0.0)

    found = {u.text for u in augmented([ENGLISH, SPANISH], recipe, seed=1)}

    assert found == {"weather in Oslo now", "is it cold in New York"}


def test_values_come_from_other_languages_where_that_is_asked() -> None:
    recipe = Augmentation(copies=20, exchanged=1.0, switched=1.0, lost=0.0)

    found = {u.text for u in augmented([ENGLISH, SPANISH], recipe, seed=1)}

    assert {"is it cold in Nueva York", "tiempo en Oslo"} <= found


def test_words_are_lost_outside_of_slots_alone() -> None:
    recipe = Augmentation(copies=30, exchanged=0.01, switched=0.0, lost=0.5)

    found = augmented([SPANISH], recipe, seed=1)

    assert {u.text for u in found} == {"en Nueva York", "tiempo Nueva York", "Nueva York"}


def test_they_have_no_labels_and_depend_on_the_seed_alone() -> None:
    recipe = Augmentation(copies=2)

    found = augmented([ENGLISH, SPANISH], recipe, seed=3)

    assert found == augmented([ENGLISH, SPANISH], recipe, seed=3)
    assert all((u.sentence.tags, u.intent, u.tree) == (None, "", None) for u in found)
