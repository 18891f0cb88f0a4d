import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibration import (
    TEMPERATURES,
    Agreements,
    agreement_temperature,
    fit_threshold,
    label_temperature,
    wilson_low,
)


def agreements(rows: list[tuple[float, int, int]]) -> Agreements:
    """Of (confidence, compared, equal), every input a group of its own."""
    confidence, compared, equal = (np.array(column) for column in zip(*rows, strict=True))
    return Agreements(confidence, compared, equal, np.arange(len(rows)))


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_temperature_of_labels_drawn_at_a_temperature_is_that_temperature(truth: float) -> None:
    """50,000 draws from softmax(z / T): the likeliest temperature lies within a few percent."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (50_000, 4))
    noise = random.gumbel(size=logits.shape)  # argmax(z / T + Gumbel) is a draw
    labels = (logits / truth + noise).argmax(axis=-1)

    assert label_temperature([(logits, labels)]) == pytest.approx(truth, rel=0.05)


def test_temperature_has_a_closed_form_for_two_labels() -> None:
    """Logits (2, 0) that are right 3 times of 4 want softmax 3/4: 2 / T = ln 3."""
    logits = np.tile([2.0, 0.0], (4, 1))

    fitted = label_temperature([(logits, np.array([0, 0, 0, 1]))])

    assert fitted == pytest.approx(2 / np.log(3), rel=1e-4)


def test_outputs_of_different_widths_share_one_temperature() -> None:
    """An output that says nothing at any temperature (equal logits) changes nothing."""
    two = (np.tile([2.0, 0.0], (4, 1)), np.array([0, 0, 0, 1]))
    three = (np.zeros((5, 3)), np.array([0, 1, 2, 0, 1]))

    assert label_temperature([two, three]) == pytest.approx(label_temperature([two]))


def test_a_student_that_never_errs_gets_the_lowest_temperature_allowed() -> None:
    fitted = label_temperature([(np.tile([0.2, 0.0], (9, 1)), np.zeros(9, np.int64))])

    assert fitted == pytest.approx(TEMPERATURES[0], rel=1e-3)


def test_temperature_of_whole_answers_makes_confidence_the_share_that_agrees() -> None:
    """Confidence 1 / (1 + exp(-2 / T)) is 3/4 at T = 2 / ln 3."""

    def confidence(temperature: float) -> np.ndarray:
        return np.full(4, 1 / (1 + np.exp(-2 / temperature)))

    fitted = agreement_temperature(confidence, np.array([True, True, True, False]))

    assert fitted == pytest.approx(2 / np.log(3), rel=1e-4)


def test_the_lowest_threshold_that_reaches_the_target_is_chosen() -> None:
    """500 inputs; the 50 least sure ones disagree. A perfect lower end needs all of them asked."""
    rows = [(0.1 + i / 10_000, 1, 0) for i in range(50)]
    rows += [(0.5 + i / 10_000, 1, 1) for i in range(450)]
    found = agreements(rows)

    perfect = fit_threshold(found, 0.99)
    relaxed = fit_threshold(found, 0.90)

    assert perfect
    assert relaxed
    assert perfect.by == "lower end"
    assert 0.1 < relaxed.value < perfect.value < 0.5
    assert found.loyalty(perfect.value).value > 0.99


def test_nobody_is_asked_where_the_student_is_loyal_enough() -> None:
    found = agreements([(i / 1000, 1, 1) for i in range(1000)])

    chosen = fit_threshold(found, 0.99)

    assert chosen
    assert chosen.value == 0.0
    assert found.escalation(chosen.value).value == 0


def test_a_target_that_only_asking_about_everything_reaches_has_no_threshold() -> None:
    """Every input disagrees on a decision, so any that is kept costs a fifth of a percent."""
    found = agreements([(i / 500, 1, 0) for i in range(500)])

    assert fit_threshold(found, 0.999) is None


def test_the_point_estimate_decides_where_n_is_too_small_for_an_interval() -> None:
    """Wilson's lower end of 20 of 20 is 0.839, below 0.95."""
    found = agreements([(0.1, 1, 0), *((0.5 + i / 100, 1, 1) for i in range(19))])

    chosen = fit_threshold(found, 0.96)

    assert chosen
    assert chosen.by == "point estimate"
    assert 0.1 < chosen.value <= 0.5
    assert wilson_low(1.0, 20) == pytest.approx(0.839, abs=1e-3)


def test_words_of_one_input_are_kept_or_asked_together() -> None:
    """Two inputs of 10 and 2 words: keeping the second leaves 1 of 12 words to differ."""
    found = agreements([(0.1, 10, 5), (0.9, 2, 1)])

    assert found.loyalty(0.0).value == pytest.approx(6 / 12)
    assert found.loyalty(0.5).value == pytest.approx(11 / 12)
    assert found.loyalty(0.5).n == 12
    assert found.escalation(0.5).value == 0.5


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60
    ),
    st.floats(0.5, 1),
)
def test_a_fitted_threshold_reaches_its_target_and_keeps_something(
    rows: list[tuple[float, int, int]], target: float
) -> None:
    rows = [(0.5, 1, 1), *((c, n, min(e, n)) for c, n, e in rows)]
    found = agreements(rows)

    chosen = fit_threshold(found, target)

    if chosen:
        assert 0 <= chosen.value <= 1
        assert found.loyalty(chosen.value).value >= target
        assert found.escalation(chosen.value).value < 1
