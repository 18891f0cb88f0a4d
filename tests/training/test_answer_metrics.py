import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.answer_metrics import bag_f1, exact_match, mlqa_es_words, squad_words, token_f1

ONE = np.array([0])


@pytest.mark.parametrize(
    ("text", "squad", "mlqa"),
    [
        ("The  Great-Wall, a wall", "greatwall wall", "the greatwall a wall"),
        ("¿La «Habana»?", "¿la «habana»", "habana"),
        ("Los Ángeles", "los ángeles", "ángeles"),
        ("un-o y unos", "uno y unos", "uno y"),
        ("3,5 % — 4 €", "35 — 4 €", "35 4 €"),
        ("the", "", "the"),
        ("El", "el", ""),
    ],
)
def test_normalizations_keep_what_their_scripts_keep(text: str, squad: str, mlqa: str) -> None:
    assert " ".join(squad_words(text)) == squad
    assert " ".join(mlqa_es_words(text)) == mlqa


def test_f1_of_a_worked_example() -> None:
    """Two of three predicted words are among four gold ones: P 2/3, R 2/4, F1 4/7."""
    gold = [["premio nobel de física", "nada"]]

    score = token_f1(["el premio Nobel 1903"], gold, ONE, words=mlqa_es_words)

    assert score.value == pytest.approx(4 / 7)
    assert exact_match(["Premio Nobel de la física."], gold, ONE, words=mlqa_es_words).value == 1


@pytest.mark.parametrize(
    ("predicted", "gold", "value"),
    [
        ("", [], 1),
        ("", [""], 1),
        ("algo", [], 0),
        ("", ["algo"], 0),
        # As SQuAD's script has it: an article alone is no gold answer beside others.
        ("", ["the", "algo"], 0),
    ],
)
def test_no_answer_equals_no_answer(predicted: str, gold: list[str], value: float) -> None:
    for metric in (exact_match, token_f1):
        assert metric([predicted], [gold], ONE, words=squad_words).value == value


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_bag_f1_is_symmetric_and_one_for_the_same_words(one: list[str], other: list[str]) -> None:
    assert bag_f1(one, other) == bag_f1(other, one)
    assert bag_f1(one, one[::-1]) == 1
    assert (bag_f1(one, other) == 1) == (sorted(one) == sorted(other))


def test_intervals_draw_contexts_not_questions() -> None:
    gold, predicted = [["a"]] * 400, (["a"] * 20 + ["b"] * 20) * 10
    contexts = np.repeat(np.arange(20), 20)

    by_context = exact_match(predicted, gold, contexts, words=squad_words)
    by_question = exact_match(predicted, gold, np.arange(400), words=squad_words)

    assert by_context.n == by_question.n == 400
    assert by_context.high - by_context.low > 3 * (by_question.high - by_question.low)
