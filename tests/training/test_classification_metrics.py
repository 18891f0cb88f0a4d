"""Accuracy, macro F1 and correlations against scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from training.metrics import RESAMPLES, accuracy, macro_f1, pearson, resample_weights, spearman

LABELS = st.sampled_from(["MD", "RO", "?"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=12)


@given(PAIRS)
def test_accuracy_and_macro_f1_equal_an_independent_implementation(
    pairs: list[tuple[str, str]],
) -> None:
    predicted, gold = ([pair[side] for pair in pairs] for side in (0, 1))

    assert accuracy(predicted, gold).value == pytest.approx(accuracy_score(gold, predicted))
    theirs = f1_score(gold, predicted, average="macro", zero_division=0)
    assert macro_f1(predicted, gold).value == pytest.approx(theirs)


def test_macro_f1_of_a_worked_example() -> None:
    """MD: 1 of 2 predicted and 1 gold, F1 2/3; RO: 1 of 1 predicted, 2 gold, F1 2/3; ?: 0."""
    score = macro_f1(["MD", "MD", "RO", "RO"], ["MD", "RO", "RO", "?"])

    assert score.value == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert score.n == 4
    assert score.low <= score.value <= score.high


def test_intervals_are_over_the_groups() -> None:
    gold = ["MD"] * 1000
    predicted = ["MD"] * 50 + ["RO"] * 50
    groups = np.repeat(np.arange(20), 50)

    for metric in (accuracy, macro_f1):
        one = metric(predicted * 10, gold)
        grouped = metric(predicted * 10, gold, groups)
        assert grouped.value == one.value
        assert grouped.high - grouped.low > 3 * (one.high - one.low)


VALUES = st.lists(
    st.tuples(st.integers(0, 5).map(float), st.integers(-3, 3).map(float)), min_size=3, max_size=15
).filter(lambda pairs: all(len({p[side] for p in pairs}) > 1 for side in (0, 1)))


@given(VALUES)
def test_correlations_equal_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array([pair[side] for pair in pairs]) for side in (0, 1))

    assert pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pearson, stats.pearsonr), (spearman, stats.spearmanr)]
)
def test_correlation_intervals_equal_resampling_by_hand(ours, theirs) -> None:  # noqa: ANN001
    random = np.random.default_rng(1)
    x = random.normal(size=30).round(1)
    y = (x + random.normal(size=30)).round(1)

    score = ours(x, y, seed=3)

    drawn = resample_weights(30, seed=3).astype(int)
    assert drawn.shape == (RESAMPLES, 30)
    values = [theirs(np.repeat(x, w), np.repeat(y, w)).statistic for w in drawn]
    assert (score.low, score.high) == pytest.approx(np.percentile(values, [2.5, 97.5]))


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_a_constant_correlates_with_nothing(metric) -> None:  # noqa: ANN001
    score = metric(np.full(20, 0.1), np.arange(20.0))

    assert (score.value, score.low, score.high, score.n) == (0, 0, 0, 20)


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_a_small_spread_around_a_large_value_is_no_constant(metric) -> None:  # noqa: ANN001
    x = 1e4 + np.arange(20.0) * 1e-4

    assert metric(x, np.arange(20.0)).value == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_unequal_or_no_labels_are_refused(metric) -> None:  # noqa: ANN001
    for predicted, gold in ((["MD"], []), ([], [])):
        with pytest.raises(ValueError, match=r"shorter|longer|nothing"):
            metric(predicted, gold)
