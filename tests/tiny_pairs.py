"""Tiny models that disagree, and doubt, as a test needs it."""

from pathlib import Path

import onnx
from onnx import numpy_helper

from app.contract.golden import FP32_TOLERANCE, read_golden, record
from app.contract.manifest import GOLDEN, MANIFEST, MODEL
from app.contract.pipeline import Package
from app.sessions import OnnxSession
from tests.tiny_graphs import VOCABULARY
from tests.tiny_package import edit_json, reseal


def retag(package: Path, words: dict[str, tuple[str, float]]) -> None:
    """Let words have other labels: word -> (label, its logit; the other labels have 0).

    For models whose graph looks logits up in one table: ner, sentiment, dialect.
    """
    graph = onnx.load(package / MODEL)
    [table] = (tensor for tensor in graph.graph.initializer if tensor.name == "table")
    logits = numpy_helper.to_array(table).copy()
    labels = Package.load(package).head.labels
    for word, (label, logit) in words.items():
        row = VOCABULARY.index(word)
        logits[row] = 0
        logits[row, labels.index(label)] = logit
    table.CopyFrom(numpy_helper.from_array(logits, "table"))
    onnx.save(graph, package / MODEL)
    rerecord(package)


def rerecord(package: Path) -> None:
    """Record what a changed package does as what it has to do."""
    reseal(package)
    inputs = [example.contract_input for example in read_golden(package).examples]
    session = OnnxSession(package / MODEL, provider="cpu")
    golden = record(Package.load(package), session, inputs, tolerance=FP32_TOLERANCE)
    (package / GOLDEN).write_text(golden.model_dump_json())
    reseal(package)


def calibrate(
    package: Path, *, threshold: float, temperature: float = 1.0, task: str = "ner"
) -> None:
    """Write a calibration into the manifest; only these two numbers matter to the service."""
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}
    section = {
        "temperature": temperature,
        "threshold": threshold,
        "target": 0.9,
        "label_loyalty": share,
        "escalation": share,
        "teacher": f"{task}/big:1",
        "data": {"corpus": "none", "split": "none"},
    }
    edit_json(package / MANIFEST, calibration=section)
