import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate import Evaluator
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from training.datasets.examples import TaggedSentence
from training.gold_spans import gold_spans
from training.metrics import mean_score, strict_f1

TYPES = ("PER", "LOC", "ORG")


def bio2(types: list[str | None]) -> list[str]:
    """Valid BIO2: one tag a word, a repeated type continues."""
    return [
        "O" if kind is None else f"{'I' if i and types[i - 1] == kind else 'B'}-{kind}"
        for i, kind in enumerate(types)
    ]


def spans(tags: list[str]) -> set[tuple[str, int, int]]:
    return gold_spans(TaggedSentence(tuple("w" * len(tags)), tuple(tags), (True,) * len(tags)))


TAGS = st.lists(st.sampled_from([None, *TYPES]), min_size=6, max_size=6).map(bio2)
CORPUS = st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=8)


@given(CORPUS)
def test_strict_f1_equals_two_independent_implementations(
    corpus: list[tuple[list[str], list[str]]],
) -> None:
    gold, predicted = [g for g, _ in corpus], [p for _, p in corpus]

    score = strict_f1([spans(p) for p in predicted], [spans(g) for g in gold])

    assert score.n == sum(len(spans(g)) for g in gold)
    if any(tag != "O" for g in gold for tag in g) and any(t != "O" for p in predicted for t in p):
        ours = pytest.approx(score.value, abs=1e-9)
        assert f1_score(gold, predicted, mode="strict", scheme=IOB2, zero_division=0) == ours
        strict = Evaluator(gold, predicted, tags=list(TYPES), loader="list").evaluate()
        assert strict["overall"]["strict"].f1 == ours


def test_gold_spans_follow_bio2() -> None:
    assert spans(["B-PER", "I-PER", "B-PER", "O", "B-LOC"]) == {
        ("PER", 0, 2),
        ("PER", 2, 3),
        ("LOC", 4, 5),
    }


def test_the_interval_holds_the_value_and_shrinks_with_more_sentences() -> None:
    right, wrong = {("PER", 0, 1)}, {("LOC", 0, 1)}

    few = strict_f1([right, wrong] * 10, [right, right] * 10)
    many = strict_f1([right, wrong] * 250, [right, right] * 250)

    assert few.low <= few.value <= few.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_nothing_predicted_scores_zero() -> None:
    assert strict_f1([set()], [{("PER", 0, 1)}]).value == 0


def test_mean_score_resamples_sentences_not_words() -> None:
    """Words of a sentence that always agree carry less information than as many independent."""
    values = np.repeat([0.0, 1.0] * 10, 50)

    by_sentence = mean_score(values, np.repeat(np.arange(20), 50))
    by_word = mean_score(values, np.arange(1000))

    assert by_sentence.high - by_sentence.low > 3 * (by_word.high - by_word.low)
