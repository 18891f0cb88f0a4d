"""The packages committed to `model_store/`: they are what users run."""

from pathlib import Path

import numpy as np
import pytest

from app.contract.golden import read_golden, replay
from app.contract.heads import VectorHead
from app.contract.loyalty import held_out
from app.contract.manifest import CARD, EVALUATION
from app.contract.pipeline import Package, predict_outputs
from app.trunks import Trunks

STORE = Path(__file__).parents[2] / "model_store"
PACKAGES = sorted(path.parent for path in STORE.glob("*/*/*/manifest.json"))

INT8_MEAN_SHIFT = 0.15
"""Dynamic int8 scales activations by the whole batch, so padding and neighbours move the logits:
mean absolute move allowed, in logits. Words whose label may change: 2 %."""
INT8_CHANGED_LABELS = 0.02
VECTOR_COSINE = 0.99
"""Of a bi-encoder's vector in a batch and the one alone."""


@pytest.fixture(params=PACKAGES, ids=lambda path: "/".join(path.parts[-3:]))
def package(request: pytest.FixtureRequest) -> Package:
    return Package.load(request.param)


def test_the_store_is_not_empty() -> None:
    assert PACKAGES


def test_a_package_replays_its_golden_examples(package: Package) -> None:
    replay(package, Trunks().open(package))


def test_a_package_has_card_and_evaluation_with_intervals(package: Package) -> None:
    assert {CARD, EVALUATION} <= package.manifest.files.keys()
    assert package.manifest.quality
    for score in package.manifest.quality.values():
        assert score.low <= score.value <= score.high
        assert score.n > 0


def test_a_student_has_what_its_live_loyalty_is_held_against(package: Package) -> None:
    """The alert of the deployment reads it; without it a student could stray unseen."""
    manifest = package.manifest
    known = held_out(manifest.head, manifest.loyalty)

    assert (known.label is not None or known.regression is not None) is bool(manifest.teacher)


def test_batched_answers_stay_within_a_bound_of_single_ones(package: Package) -> None:
    session = Trunks().open(package)
    inputs = [example.contract_input for example in read_golden(package.path).examples]

    together = predict_outputs(package.encoder, package.head, session, inputs)
    alone = [predict_outputs(package.encoder, package.head, session, [one])[0] for one in inputs]

    pairs = [
        (batched[name], single[name])
        for (_, several), (_, one) in zip(together, alone, strict=True)
        for batched, single in zip(several, one, strict=True)
        for name in single
    ]
    moved = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    if isinstance(package.head, VectorHead):  # the place of its largest number says nothing
        changed = np.array([np.vdot(a, b) < VECTOR_COSINE for a, b in pairs])
    else:
        changed = np.concatenate([np.atleast_1d(a.argmax(-1) != b.argmax(-1)) for a, b in pairs])
    if package.manifest.precision == "int8":
        assert moved.mean() <= INT8_MEAN_SHIFT
        assert changed.mean() <= INT8_CHANGED_LABELS
    else:
        assert moved.max() <= 1e-3
        assert not changed.any()
