"""Which aggregate of the words' probabilities tells best when to ask the teacher?

python -m training.ablations.cascade_confidence STUDENT TEACHER CORPUS SPLIT DATA_DIR

Uses only the half on which `python -m training calibrate` fits. For each aggregate: the share of
inputs, least sure first, that the teacher has to answer until the cascade's label loyalty reaches
each target (point estimate). One line of JSON an aggregate.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.contract.confidence import log_best
from app.contract.decisions import LabelHead, decisions
from app.contract.loyalty import Reading
from app.contract.pipeline import Package
from training.calibrate import Half, halves
from training.datasets import CORPORA, read_split
from training.evaluate import engine_of

TARGETS = (0.97, 0.98, 0.99, 0.995)
AGGREGATES: dict[str, Callable[[np.ndarray], float]] = {
    "least": lambda log: float(np.exp(log.min())),
    "mean": lambda log: float(np.exp(log).mean()),
    "product": lambda log: float(np.exp(log.sum())),
}


def main(student: Path, teacher: Path, corpus: str, split: str, data_dir: Path) -> None:
    """Fit the temperature, then compare."""
    examples = read_split(data_dir, corpus, split, CORPORA[corpus].kind)
    own, other = (engine_of(Package.load(path.resolve())) for path in (student, teacher))
    half = Half.read(own, other, halves(examples)[0])
    temperature = half.temperature()
    found = half.agreements(temperature)
    wrong, total = found.compared - found.equal, found.compared.sum()
    logs = [_logs(reading, temperature) for reading in half.student]
    same = float((wrong == 0).mean())
    for name, aggregate in AGGREGATES.items():
        sure = np.array([aggregate(log) for log in logs])
        left = wrong.sum() - np.cumsum(wrong[np.argsort(sure, kind="stable")])
        asked = {
            target: round((1 + int(np.argmax(left <= (1 - target) * total))) / len(sure), 3)
            for target in TARGETS
        }
        facts = {"aggregate": name, "inputs": len(sure), "asked_for_target": asked}
        means = {"mean_confidence": round(float(sure.mean()), 3), "same_answer": round(same, 3)}
        sys.stdout.write(json.dumps(facts | means) + "\n")


def _logs(reading: Reading, temperature: float) -> np.ndarray:
    """Log probability of each label chosen."""
    assert isinstance(reading.head, LabelHead)
    found = decisions(reading.head, reading.encoded, reading.outputs)
    return np.concatenate([log_best(each.logits / temperature) for each in found])


if __name__ == "__main__":
    _, first, second, name, part, folder = sys.argv
    main(Path(first), Path(second), name, part, Path(folder))
