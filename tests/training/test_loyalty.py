import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from app.contract.loyalty import jensen_shannon
from training.loyalty import label_loyalty, probability_loyalty

GROUPS = np.arange(2)


def test_label_loyalty_is_the_share_of_equal_argmax() -> None:
    teacher = np.array([[0.9, 0.1], [0.2, 0.8]])
    student = np.array([[0.6, 0.4], [0.7, 0.3]])

    assert label_loyalty(teacher, student, GROUPS).value == 0.5


def test_probability_loyalty_spans_its_stated_range() -> None:
    """Disjoint distributions have divergence ln 2: base e gives 1 - sqrt(ln 2) = 0.1674."""
    one, other = np.array([[1.0, 0.0]] * 2), np.array([[0.0, 1.0]] * 2)

    assert probability_loyalty(one, one, GROUPS).value == 1
    assert probability_loyalty(one, other, GROUPS).value == pytest.approx(
        1 - math.sqrt(math.log(2))
    )
    assert probability_loyalty(one, other, GROUPS, base=2).value == pytest.approx(0)


@pytest.mark.parametrize("base", [math.e, 2])
def test_probability_loyalty_equals_scipy(base: float) -> None:
    random = np.random.default_rng(0)
    teacher, student = random.dirichlet(np.ones(31), 50), random.dirichlet(np.ones(31), 50)

    ours = probability_loyalty(teacher, student, np.arange(50), base=base).value

    theirs = np.mean([1 - jensenshannon(p, q, base) for p, q in zip(teacher, student, strict=True)])
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_divergence_is_finite_for_hard_zeros() -> None:
    assert np.isfinite(jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))).all()
