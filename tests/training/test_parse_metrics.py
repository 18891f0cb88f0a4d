import pytest

from training.parse_metrics import frame_exact_match, tree_exact_match

SLOT = ("SL:LOCATION", 1, 2)


def test_a_frame_is_right_if_intent_and_all_slots_are() -> None:
    gold = [("IN:A", {SLOT})] * 4
    predicted = [("IN:A", {SLOT}), ("IN:B", {SLOT}), ("IN:A", set()), ("IN:A", {SLOT, ("X", 0, 1)})]

    score = frame_exact_match(predicted, gold)

    assert (score.value, score.n) == (0.25, 4)
    assert score.low <= score.value <= score.high


def test_a_tree_is_right_if_it_says_the_same() -> None:
    gold = "[IN:A [SL:T 7 pm ] [SL:P [IN:B [SL:R my aunt ] ] ] ]"
    same = "[IN:A [SL:P [IN:B [SL:R my aunt ] ] ] [SL:T 7pm ] ]"
    wrong = ["[IN:A [SL:T 7 pm ] [SL:P my aunt ] ]", "[IN:B ]", "", "[IN:A"]

    assert tree_exact_match([gold, same], [gold, gold]).value == 1
    assert tree_exact_match(wrong, [gold] * 4).value == 0


def test_a_gold_tree_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="bracket"):
        tree_exact_match(["[IN:A ]"], ["[IN:A"])
