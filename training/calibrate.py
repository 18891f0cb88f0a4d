"""When a student should ask its teacher: fitted on one half of some data, measured on the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.contract.confidence import check_confident, confidence
from app.contract.decoding import decode
from app.contract.heads import AnswerHead
from app.contract.loyalty import Reading, aligned, check_comparable, compare, paired_decisions
from app.contract.manifest import Calibration, Score
from app.contract.pipeline import Package, predict_outputs
from training.calibration import (
    Agreements,
    agreement_temperature,
    fit_threshold,
    label_temperature,
)
from training.datasets import CORPORA, read_split
from training.datasets.examples import Example
from training.datasets.splits import stable_fraction
from training.errors import DataError, StepError
from training.evaluate import Engine, Record, engine_of
from training.metrics import mean_score
from training.reproducibility import commit, versions
from training.revise import revise
from training.scores import groups_of, input_of, key_of, scores
from training.sections import CorpusSplit

logger = logging.getLogger(__name__)
HALVES = "calibration"
"""Salt of the hash: corpora are carved by the same function."""


@dataclass(frozen=True, slots=True)
class Half:
    """Some examples as student and teacher read them."""

    examples: Sequence[Example]
    student: Sequence[Reading]
    teacher: Sequence[Reading]

    @classmethod
    def read(cls, student: Engine, teacher: Engine, examples: Sequence[Example]) -> "Half":
        """Run both models, as the service would."""

        def readings(engine: Engine) -> list[Reading]:
            head = engine.head
            inputs = [input_of(example, head) for example in examples]
            predicted = predict_outputs(engine.encoder, head, engine.run, inputs)
            return [Reading(head, encoded, outputs) for encoded, outputs in predicted]

        return cls(examples, readings(student), readings(teacher))

    def confidence(self, temperature: float) -> np.ndarray:
        """Of the student in each answer."""
        return np.array(
            [confidence(r.head, r.encoded, r.outputs, temperature) for r in self.student]
        )

    def agreements(self, temperature: float) -> Agreements:
        """How sure the student is, and where it agrees with the teacher."""
        loyal = [compare(*pair) for pair in zip(self.student, self.teacher, strict=True)]
        return Agreements(
            confidence=self.confidence(temperature),
            compared=np.array([each.compared for each in loyal]),
            equal=np.array([round((each.label or 0) * each.compared) for each in loyal]),
            groups=groups_of(self.examples),
        )

    def temperature(self) -> float:
        """Fitted to the teacher's labels; for answers, to whether both give the same one."""
        if isinstance(self.student[0].head, AnswerHead):
            found = self.agreements(1.0)
            return agreement_temperature(self.confidence, found.equal == found.compared)
        pairs = [paired_decisions(*pair) for pair in zip(self.student, self.teacher, strict=True)]
        outputs = []
        for output in zip(*pairs, strict=True):
            own, other = zip(*(aligned(*pair) for pair in output), strict=True)
            outputs.append((np.concatenate(own), np.concatenate(other).argmax(axis=-1)))
        return label_temperature(outputs)


def halves(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """To fit on and to measure on, by a hash; questions on one context stay together."""
    fit: list[Example] = []
    measure: list[Example] = []
    for example in examples:
        first = stable_fraction(f"{HALVES}\n{key_of(example)}") < 0.5
        (fit if first else measure).append(example)
    if not fit or not measure:
        raise DataError(f"{len(examples)} examples are too few to fit on one half of them")
    return fit, measure


def calibrate(
    student: Engine, teacher: Engine, examples: Sequence[Example], target: float
) -> Record:
    """Fit temperature and threshold on one half and measure the cascade on the other.

    Args:
        student: that answers first.
        teacher: that answers where the student is not sure enough.
        examples: on which neither was trained.
        target: label loyalty of the cascade to the teacher.

    Returns:
        For eval.json; `threshold` is None where only asking about everything reaches the target.

    Raises:
        ContractError: the two cannot be compared, or their head has no confidence.
    """
    check_confident(student.head)
    check_comparable(student.head, teacher.head)
    fitting, measuring = (Half.read(student, teacher, half) for half in halves(examples))
    temperature = fitting.temperature()
    fitted = fitting.agreements(temperature)
    threshold = fit_threshold(fitted, target)
    record: Record = {
        "target": target,
        "temperature": temperature,
        "threshold": threshold and threshold.value,
        "threshold_by": threshold and threshold.by,
        "fitted": _cascade(fitted, threshold.value if threshold else _highest(fitted)),
        "commit": commit(),
        "versions": versions(),
    }
    if threshold is None:
        return record
    return record | {"measured": _measured(measuring, temperature, threshold.value)}


def calibration_of(record: Record, *, teacher: str, data: CorpusSplit) -> Calibration | None:
    """The section of the manifest; None where the target was not reached."""
    if record["threshold"] is None:
        logger.warning("%s", _not_reached(record))
        return None
    measured = record["measured"]
    return Calibration(
        temperature=record["temperature"],
        threshold=record["threshold"],
        target=record["target"],
        label_loyalty=Score.model_validate(measured["label_loyalty"]["cascade"]),
        escalation=Score.model_validate(measured["escalation"]),
        teacher=teacher,
        data=data.model_dump(include={"corpus", "split"}),
    )


def calibrate_package(
    path: Path, *, teacher: Path, data: CorpusSplit, data_dir: Path, target: float
) -> tuple[Path, Record]:
    """Calibrate a registered student and register the result as its next version.

    Returns:
        The new package, and what was fitted and measured.

    Raises:
        DataError: the corpus is of another task, or too small.
        StepError: the target is out of reach.
        ContractError: a package is broken, or the two cannot be compared.
    """
    package, other = Package.load(path.resolve()), Package.load(teacher.resolve())
    entry = CORPORA[data.corpus]
    if entry.task != package.manifest.task:
        raise DataError(
            f"{data.corpus}: its labels are for {entry.task}, not {package.manifest.task}"
        )
    examples = read_split(data_dir, data.corpus, data.split, entry.kind)
    record = calibrate(engine_of(package), engine_of(other), examples, target)
    section = calibration_of(record, teacher=other.manifest.name, data=data)
    if section is None:
        raise StepError(f"{package.manifest.name}: {_not_reached(record)}")
    return revise(package, section, record), record


def _measured(half: Half, temperature: float, threshold: float) -> Record:
    """What the cascade does on data that had no part in its making."""
    found = half.agreements(temperature)
    asked = found.confidence < threshold
    own, other = (
        [decode(r.head, r.encoded, r.outputs) for r in side]
        for side in (half.student, half.teacher)
    )
    cascade = [theirs if ask else ours for ours, theirs, ask in zip(own, other, asked, strict=True)]
    head = half.student[0].head
    same = (found.equal == found.compared).astype(np.float64)
    return _cascade(found, threshold) | {
        "confidence": float(found.confidence.mean()),
        "same_answer": mean_score(same, found.groups).model_dump(),
        "quality": {
            name: {k: score.model_dump() for k, score in scores(head, half.examples, given).items()}
            for name, given in (("student", own), ("cascade", cascade), ("teacher", other))
        },
    }


def _cascade(found: Agreements, threshold: float) -> Record:
    return {
        "inputs": len(found.compared),
        "label_loyalty": {
            "student": found.loyalty(0.0).model_dump(),
            "cascade": found.loyalty(threshold).model_dump(),
        },
        "escalation": found.escalation(threshold).model_dump(),
    }


def _highest(found: Agreements) -> float:
    """The threshold that leaves the student only what it is surest of."""
    return float(found.confidence.max())


def _not_reached(record: Record) -> str:
    fitted = record["fitted"]
    loyalty, escalation = fitted["label_loyalty"]["cascade"], fitted["escalation"]
    return (
        f"label loyalty {record['target']} is not reached without asking the teacher about "
        f"everything: {loyalty['value']:.4f} ({loyalty['low']:.4f} to {loyalty['high']:.4f}; n "
        f"{loyalty['n']}) when it is asked about {escalation['value']:.1%} of {fitted['inputs']} "
        "inputs; lower the target or give more data"
    )
