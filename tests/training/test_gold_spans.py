from training.datasets.examples import PartlyTagged, TaggedSentence
from training.gold_spans import looked_for


def test_types_that_nobody_looked_for_are_not_counted_against_a_model() -> None:
    words, spaces = ("a", "b"), (True, True)
    some = PartlyTagged(words, ("O", "O"), spaces, types=("X",))
    whole = TaggedSentence(words, ("O", "O"), spaces)
    found = {("X", 0, 1), ("Y", 1, 2)}

    assert looked_for([found, found], [some, whole]) == [{("X", 0, 1)}, found]
